"""Losses and gradients that are no numbers: training stops before the weights take them."""

from __future__ import annotations

import math

import torch

from trainer.errors import TrainerError
from trainer.run import Run
from trainer.training.checkpoints import last_name

# float16's scale starts at 65,536 and is halved at each overflow. Below this it was halved for
# steps on end, and the gradient overflows by itself.
LEAST_SCALE = 1.0


def overflow_is_skipped(scaler: torch.amp.GradScaler) -> bool:
    """Whether a gradient without bounds is only float16's scale, which the scaler corrects: it
    skips the step. Not so once the scale has been corrected again and again in vain.
    """
    return scaler.is_enabled() and scaler.get_scale() >= LEAST_SCALE


def check_finite(what: str, value: float, run: Run) -> None:
    """Raises:
    TrainerError: `value` is no finite number; the message says what to try.
    """
    if math.isfinite(value):
        return
    training = run.recipe.training
    wider = {
        "float16": 'training.dtype = "float32" ("bfloat16" where the card has it)',
        "bfloat16": 'training.dtype = "float32"',
    }.get(run.dtype)
    tries = [
        f"a smaller training.learning_rate than {training.learning_rate:g}",
        f"a smaller training.max_grad_norm than {training.max_grad_norm:g}",
        "more training.warmup_steps",
    ]
    last = last_name(run.checkpoints)
    kept = (
        f"the checkpoint {last} stays in {run.checkpoints}"
        if last
        else "no checkpoint was saved yet"
    )
    raise TrainerError(
        f"{what} is {value}: training stopped. Try "
        f"{', '.join([*([wider] if wider else []), *tries])}; a changed recipe starts anew, and "
        f"{kept}."
    )
