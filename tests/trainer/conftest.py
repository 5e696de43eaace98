"""A base that trains in an instant, a real small one, rows of the demo, and a recipe."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from smollm2 import smollm2_tokenizer
from tiny_models import make_model
from trainer.recipe import Recipe
from trainer.settings import Settings

RECIPE = """
name = "tiny"
base = "{base}"
train = ["{train}"]
{top}
[data]
validation_share = 0.2
[format]
system_prompt = "先分析，最后一行写“答案是：X”。"
user_template = "{{problem}}\\n\\n{{question}}\\n{{options}}"
[sampling]
max_tokens = 24
[training]
learning_rate = 1e-3
batch_rows = 4
max_steps = 6
max_length = 320
pack_tokens = 512
validations = 2
gradient_checkpointing = false
{training}
"""


@pytest.fixture(scope="session")
def tiny_base(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(root, tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="session")
def smol_tokenizer(root: Path) -> Any:
    """SmolLM2's tokenizer: like nearly every BPE, it joins a space and the letter after it."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(smollm2_tokenizer(root))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(models_dir=tmp_path / "models", runs_dir=tmp_path / "runs")


@pytest.fixture(scope="session")
def recipe_in(root: Path, tiny_base: Path) -> Callable[..., Path]:
    """Writes a recipe into a folder; `top` and `training` are further lines of TOML."""

    def write(folder: Path, *, top: str = "", training: str = "", base: Path = tiny_base) -> Path:
        rows = (root / "examples" / "demo" / "train.jsonl").read_text().splitlines(keepends=True)
        train = folder / "train.jsonl"
        train.write_text("".join(rows[:40]))
        path = folder / "recipe.toml"
        path.write_text(RECIPE.format(base=base, train=train, top=top, training=training))
        return path

    return write


@pytest.fixture
def recipe_file(recipe_in: Callable[..., Path], tmp_path: Path) -> Callable[..., Path]:
    return partial(recipe_in, tmp_path)


@pytest.fixture
def tiny_recipe(recipe_file: Callable[..., Path]) -> Callable[..., Recipe]:
    def load(**lines: Any) -> Recipe:
        return Recipe.load(recipe_file(**lines))

    return load
