"""Stops training at a loss or gradient that is not finite, before it reaches the weights."""

from __future__ import annotations

import math

import torch

from trainer.errors import TrainerError
from trainer.run import Run
from trainer.training.checkpoints import last_name

# float16's scale starts at 65,536, and each overflow halves it. Below this value it was halved many
# steps in a row, so the gradient itself overflows, not its scaled value.
LEAST_SCALE = 1.0


def overflow_is_skipped(scaler: torch.amp.GradScaler) -> bool:
    """True if an infinite gradient is only the fault of float16's scale: the scaler then skips the
    step and lowers the scale. False once it has lowered the scale again and again in vain.
    """
    return scaler.is_enabled() and scaler.get_scale() >= LEAST_SCALE


def check_finite(what: str, value: float, run: Run) -> None:
    """Let a finite `value` pass; `what` names it.

    Raises:
        TrainerError: it is not finite; the message says what to try.
    """
    if math.isfinite(value):
        return
    training = run.recipe.training
    wider = {
        "float16": 'training.dtype = "float32" ("bfloat16" if the card has it)',
        "bfloat16": 'training.dtype = "float32"',
    }.get(run.dtype)
    tries = [
        f"a smaller training.learning_rate than {training.learning_rate:g}",
        f"a smaller training.max_grad_norm than {training.max_grad_norm:g}",
        "more training.warmup_steps",
    ]
    last = last_name(run.checkpoints)
    kept = (
        f"the checkpoint {last} is kept in {run.checkpoints}"
        if last
        else "no checkpoint was saved yet"
    )
    raise TrainerError(
        f"{what} is {value}: training stopped. Try "
        f"{', '.join([*([wider] if wider else []), *tries])}. A changed recipe starts a new run; "
        f"{kept}."
    )
