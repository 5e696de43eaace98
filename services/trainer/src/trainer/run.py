"""One run of a recipe, as training and publishing know it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from trainer.recipe import Recipe


class Part(NamedTuple):
    """The place of a run in a panel: member `number` of `of`; `later` members are still to be
    trained after it.
    """

    number: int
    of: int
    later: int

    def all_left_s(self, elapsed_s: float, left_s: float) -> float:
        """Time left for this and all later members, if each takes as long as this one."""
        return left_s + self.later * (elapsed_s + left_s)


@dataclass(frozen=True)
class Run:
    """All that is known before the first step and never changes.

    `base`: the base model's folder. `digest`: names the published model, and is made from the
    base's files, the data and the recipe. `dtype`: the model computes in it, and is served in it.
    `folder`: the run's metrics, checkpoints and adapter. `part`: None if it is no panel's member.
    """

    recipe: Recipe
    base: Path
    base_sha256: str
    data_sha256: str
    digest: str
    dtype: str
    folder: Path
    part: Part | None = None

    @property
    def checkpoints(self) -> Path:
        return self.folder / "checkpoints"

    @property
    def adapter(self) -> Path | None:
        """The folder of the trained adapter; None if the method trains every weight."""
        return self.folder / "adapter" if self.recipe.method == "lora" else None
