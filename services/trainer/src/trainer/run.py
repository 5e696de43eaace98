"""One run of a recipe, as training and publishing know it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from trainer.recipe import Recipe


@dataclass(frozen=True)
class Run:
    """All that is known before the first step and never changes.

    `base`: the base model's folder. `digest`: names the published model, and is made from the
    base's files, the data and the recipe. `dtype`: the model computes in it, and is served in it.
    `folder`: the run's metrics, checkpoints and adapter.
    """

    recipe: Recipe
    base: Path
    base_sha256: str
    data_sha256: str
    digest: str
    dtype: str
    folder: Path

    @property
    def checkpoints(self) -> Path:
        return self.folder / "checkpoints"

    @property
    def adapter(self) -> Path | None:
        """The folder of the trained adapter; None if the method trains every weight."""
        return self.folder / "adapter" if self.recipe.method == "lora" else None
