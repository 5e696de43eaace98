"""Training stops at a loss or gradient that is not finite, and says what to try."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tiny_models import make_model
from trainer.errors import TrainerError
from trainer.pipeline import run
from trainer.recipe import Recipe
from trainer.run import Run
from trainer.settings import Settings
from trainer.training.finite import check_finite, overflow_is_skipped


def test_a_loss_that_is_nan_stops_training_and_names_remedies(
    tiny_recipe: Callable[..., Recipe], settings: Settings
) -> None:
    recipe = tiny_recipe(training='checkpoint_every_s = 0\ndtype = "bfloat16"')
    training = recipe.training.model_copy(update={"learning_rate": 1e30})
    with pytest.raises(TrainerError, match="the loss of step 2 is nan: training stopped") as raised:
        run(recipe.model_copy(update={"training": training}), settings)
    said = str(raised.value)
    assert 'training.dtype = "float32"' in said
    assert "a smaller training.learning_rate than 1e+30" in said
    assert "a smaller training.max_grad_norm than 1" in said
    assert "the checkpoint step-00000001 is kept in" in said
    assert [path.name for path in settings.runs_dir.glob("*/*/checkpoints/*")] == ["step-00000001"]


def test_a_base_with_a_loss_of_nan_is_not_trained(
    root: Path, tmp_path: Path, tiny_recipe: Callable[..., Recipe], settings: Settings
) -> None:
    base = make_model(root, tmp_path / "broken")
    weights = load_file(base / "model.safetensors")
    weights["model.norm.weight"][0] = torch.nan
    save_file(weights, base / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(TrainerError, match="the validation loss after step 0 is nan") as raised:
        run(tiny_recipe(base=base), settings)
    assert "no checkpoint was saved yet" in str(raised.value)


def test_an_infinite_gradient_is_an_error_in_bfloat16(
    tiny_recipe: Callable[..., Recipe], tmp_path: Path
) -> None:
    in_bfloat16 = Run(tiny_recipe(), tmp_path, "", "", "", "bfloat16", tmp_path)
    check_finite("the gradient's norm in step 3", 2.5, in_bfloat16)
    with pytest.raises(TrainerError, match="the gradient's norm in step 3 is inf"):
        check_finite("the gradient's norm in step 3", torch.inf, in_bfloat16)


def test_float16_skips_steps_until_its_loss_scale_fits() -> None:
    assert overflow_is_skipped(torch.amp.GradScaler("cpu"))
    assert not overflow_is_skipped(torch.amp.GradScaler("cpu", init_scale=0.5))
    assert not overflow_is_skipped(torch.amp.GradScaler("cpu", enabled=False))
