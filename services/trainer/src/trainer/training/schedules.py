"""The learning rate's schedule; the rate depends on the step's number alone."""

from __future__ import annotations

import math

from trainer.recipe import Training


def learning_rate_factor(step: int, steps: int, training: Training) -> float:
    """The factor of the learning rate in `step`, which counts from 1 to `steps`.

    Linear warm-up, then constant, linear to zero, or a half cosine to zero (Loshchilov and Hutter
    2017, section 3).
    """
    warmup = min(training.warmup_steps, steps)
    if step <= warmup:
        return step / warmup
    if training.schedule == "constant":
        return 1.0
    left = (steps - step + 1) / (steps - warmup)
    return left if training.schedule == "linear" else (1 - math.cos(math.pi * left)) / 2
