"""The explained settings are those of the settings classes and of compose."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
from pydantic_settings import BaseSettings

from inference.settings import Settings as InferenceSettings
from make_configuration import outputs
from orchestrator.settings import ApiSettings
from trainer.settings import Settings as TrainerSettings

CLASSES: tuple[type[BaseSettings], ...] = (ApiSettings, InferenceSettings, TrainerSettings)


@pytest.fixture(scope="module")
def source(root: Path) -> dict[str, Any]:
    return tomllib.loads((root / "docs/settings.toml").read_text())


def values(source: dict[str, Any]) -> dict[str, str]:
    entries = [entry for group in source["group"] for entry in group["setting"]]
    return {entry["name"]: entry["value"] for entry in entries}


def fields() -> dict[str, list[Any]]:
    """Every variable that a settings class reads, with its default in each class."""
    found: dict[str, list[Any]] = {}
    for kind in CLASSES:
        for name, field in kind.model_fields.items():
            found.setdefault(name.upper(), []).append(field.default)
    return found


def compose_text(root: Path) -> str:
    return (root / "docker-compose.yml").read_text() + (root / "compose.cpu.yml").read_text()


def test_page_and_example_match_settings_toml() -> None:
    for path, text in outputs().items():
        assert path.read_text() == text, f"{path.name}: run make configuration"


def test_every_field_of_a_settings_class_is_explained(source: dict[str, Any]) -> None:
    assert fields().keys() <= values(source).keys() | source["inside"].keys()


def test_every_explained_setting_is_read(root: Path, source: dict[str, Any]) -> None:
    read = fields().keys() | set(re.findall(r"\$\{(\w+)", compose_text(root)))
    read |= set(re.findall(r"^ +([A-Z_]+):$", compose_text(root), re.MULTILINE))  # passed on
    read |= {"COMPOSE_PROFILES", "COMPOSE_FILE"}  # read by Docker itself
    assert values(source).keys() | source["inside"].keys() <= read


def test_explained_defaults_are_those_of_the_classes(source: dict[str, Any]) -> None:
    of_the_stack = {"INFERENCE_URL", "REDIS_PASSWORD_FILE", "API_PUBLISHED_ON", "STACK"}
    for name, value in values(source).items():
        for default in fields().get(name, []) if name not in of_the_stack else []:
            text = "" if default is None else str(default)
            assert value in (text, text.lower(), text.removesuffix(".0")), name


def test_compose_passes_on_every_setting_and_default(root: Path, source: dict[str, Any]) -> None:
    told = values(source)
    used = re.findall(r"\$\{([A-Z_]+)(?::-([^}]*)|:\?[^}]*)?\}", compose_text(root))
    for name, default in used:
        if name in told and default:
            assert default == told[name], name
    assert {name for name, _ in used} <= told.keys()
    passed = {name for name, _ in used} | set(
        re.findall(r"^ +([A-Z_]+):$", compose_text(root), re.MULTILINE)
    )
    assert told.keys() <= passed | {"COMPOSE_PROFILES", "COMPOSE_FILE"}
