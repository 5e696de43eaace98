"""The plan of a run: rows, learning rate and validation of each step, from its number alone."""

from __future__ import annotations

import math
from collections.abc import Sequence

from trainer.data.packing import Order, steps_of
from trainer.recipe import Training
from trainer.training.schedules import learning_rate_factor


class Plan:
    """The steps from 1 to `steps`. `weights`: how often each row is drawn an epoch."""

    def __init__(self, weights: Sequence[float], settings: Training) -> None:
        self._order = Order(weights, settings.seed)
        self._settings = settings
        an_epoch, epochs = self._order.rows_an_epoch, settings.epochs
        self.steps = steps_of(an_epoch, settings.batch_rows, epochs, settings.max_steps)
        self._last_row = round(an_epoch * epochs)
        self._validated = {
            math.ceil(self.steps * part / settings.validations)
            for part in range(settings.validations + 1)
        }

    def rows(self, step: int) -> list[int]:
        """Indices of the rows that `step` takes."""
        return self._order.rows(*self._places(step))

    def epoch(self, step: int) -> float:
        """Epochs that are over after `step`."""
        return round(self._places(step)[1] / self._order.rows_an_epoch, 4)

    def rate_factor(self, step: int) -> float:
        return learning_rate_factor(step, self.steps, self._settings)

    def is_validated(self, step: int) -> bool:
        return step in self._validated

    def _places(self, step: int) -> tuple[int, int]:
        """The stretch of the order that `step` takes; the last step ends with the last epoch,
        unless `max_steps` is set.
        """
        start = (step - 1) * self._settings.batch_rows
        stop = start + self._settings.batch_rows
        if self._settings.max_steps is None:
            stop = min(stop, max(self._last_row, start + 1))
        return start, stop
