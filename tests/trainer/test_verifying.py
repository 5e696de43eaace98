"""A saved model that is not what was trained is found out, and not published."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from trainer import merging, pipeline
from trainer.errors import TrainerError
from trainer.pipeline import run
from trainer.recipe import Recipe
from trainer.settings import Settings
from trainer.verifying import TOLERANCE, compare, verified_rows


def spoiled_run(
    recipe: Recipe,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    spoil: Callable[[Path], None],
) -> tuple[str, dict[str, Any]]:
    """What a run says whose saved model is changed behind its back, and its report."""
    save = merging.save_merged

    def save_and_spoil(model: Any, tokenizer: Any, end_id: int, directory: Path) -> None:
        save(model, tokenizer, end_id, directory)
        spoil(directory)

    monkeypatch.setattr(merging, "save_merged", save_and_spoil)
    with pytest.raises(TrainerError, match="not what was trained, and was not published") as raised:
        run(recipe, settings)
    models = settings.models_dir / recipe.name
    assert not [path for path in models.iterdir() if path.name != ".tmp"]
    (report,) = settings.runs_dir.glob(f"{recipe.name}/*/{pipeline.VERIFICATION_FILE}")
    assert (report.parent / "adapter" / "adapter_model.safetensors").is_file()
    return str(raised.value), json.loads(report.read_text())


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_other_weights_are_found_by_their_replies(
    tiny_recipe: Callable[..., Recipe], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spoil(directory: Path) -> None:
        path = directory / "model.safetensors"
        weights = load_file(path)
        torch.manual_seed(1)
        name = "model.layers.1.mlp.down_proj.weight"
        weights[name] = weights[name] + torch.randn_like(weights[name])
        save_file(weights, path, metadata={"format": "pt"})

    said, report = spoiled_run(tiny_recipe(), settings, monkeypatch, spoil)
    assert "nats apart on average, at most 0.05 allowed" in said
    assert "train.jsonl, " in report["comparison"]["largest_in"]


def test_another_rope_base_is_found_by_reading_the_config_back(
    tiny_recipe: Callable[..., Recipe], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spoil(directory: Path) -> None:
        path = directory / "config.json"
        if "rope_theta" in json.loads(path.read_text()):
            edit(path, rope_theta=10_000.0)
        else:
            edit(path, rope_parameters={"rope_type": "default", "rope_theta": 10_000.0})

    said, report = spoiled_run(tiny_recipe(), settings, monkeypatch, spoil)
    assert "rope_theta is read back as 10000.0, and was 50000.0 in training" in said
    assert any("rope_theta" in fault for fault in report["faults"])


def test_another_chat_template_is_found_by_rendering_the_probe_again(
    tiny_recipe: Callable[..., Recipe], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spoil(directory: Path) -> None:
        path = directory / "chat_template.jinja"
        path.write_text(path.read_text().replace("<|im_start|>", "<|im_start|>\n"))

    said, _ = spoiled_run(tiny_recipe(), settings, monkeypatch, spoil)
    assert "chat_template_sha256 is read back as" in said
    assert "probe_token_ids is read back as" in said


def test_another_end_of_reply_is_found(
    tiny_recipe: Callable[..., Recipe], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    said, _ = spoiled_run(
        tiny_recipe(),
        settings,
        monkeypatch,
        lambda directory: edit(directory / "generation_config.json", eos_token_id=433),
    )
    assert "generation_eos_token_id is read back as [433], and was [433, 435]" in said


def test_weights_that_are_no_numbers_never_pass() -> None:
    trained = [torch.zeros(2, 5).log_softmax(-1)]
    compared = compare(trained, [torch.full((2, 5), torch.nan)], ["here"])
    for allowed in TOLERANCE.values():
        assert len(compared.faults(allowed)) >= 2


def test_the_largest_difference_names_its_row() -> None:
    trained = [torch.zeros(1, 4).log_softmax(-1)] * 3
    other = [trained[0], torch.tensor([[1.0, 0, 0, 0]]).log_softmax(-1), trained[0]]
    compared = compare(trained, other, ["one", "two", "three"])
    assert compared.largest_in == "two"
    assert compared.tokens == 3
    assert compared.largest == pytest.approx(3 * compared.nats)


def test_held_out_rows_are_compared_first_and_training_rows_fill_up() -> None:
    assert len(verified_rows(range(100), range(200, 205))) == 32
    assert verified_rows(range(100), range(200, 205))[:5] == [200, 201, 202, 203, 204]
    assert len(verified_rows(range(100), range(200, 300))) == 32
    assert verified_rows(range(3), []) == [0, 1, 2]
