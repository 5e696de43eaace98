"""Early stopping: whether validations still get better, and which was the best."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass
class EarlyStopping:
    """Ends training after `patience` validations in a row without a better loss; never if it is
    None.

    `worse`: how many there were since the best. `best_step`: 0 before the first validation. The
    untrained base (step 0) is no candidate for the best.
    """

    patience: int | None
    best_loss: float = math.inf
    best_step: int = 0
    worse: int = 0

    @property
    def is_due(self) -> bool:
        return self.patience is not None and self.worse >= self.patience

    def is_best(self, step: int, loss: float) -> bool:
        """Take note of the validation after `step`; True if its weights are to be kept."""
        if self.patience is None or step == 0:
            return False
        if not loss < self.best_loss:
            self.worse += 1
            return False
        self.best_loss, self.best_step, self.worse = loss, step, 0
        return True
