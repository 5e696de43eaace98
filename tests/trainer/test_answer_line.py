"""A custom answer line, with a tokenizer that joins the label to the space before it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from contract import Contract, HeldLine, PromptFormat
from tiny_models import make_model
from trainer.pipeline import run
from trainer.recipe import Recipe
from trainer.settings import Settings
from trainer.training.metrics import read_metrics


@pytest.mark.long
def test_a_label_after_a_space_is_trained_and_published(
    root: Path,
    tmp_path: Path,
    smol_tokenizer: Any,
    recipe_file: Callable[..., Path],
    settings: Settings,
) -> None:
    base = make_model(root, tmp_path / "base", "llama", smol_tokenizer)
    recipe = Recipe.load(recipe_file(base=base))
    english = PromptFormat(answer_line="Answer: {label}", system_prompt='Say "Answer: X".')
    training = recipe.training.model_copy(update={"max_length": 2048, "max_steps": 2})
    model = run(recipe.model_copy(update={"format": english, "training": training}), settings)
    contract = Contract.load(model)
    assert contract.held == HeldLine(lead="Answer:", label=" {label}")
    assert contract.format.is_read
    last = [entry for entry in read_metrics(model / "metrics.jsonl") if "label_accuracy" in entry]
    assert 0 <= last[-1]["label_accuracy"] <= 1
