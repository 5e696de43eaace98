"""A job's panel as it was fixed when the job started, and the weights of its voters. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict

from contract import CodedMessage, HeldLine, Probe, PromptFormat
from orchestrator.jobs.vote import WEIGHT_STEP
from orchestrator.jobs.voter_records import SamplingValues, ValidationRows

PANEL_FILE = "panel.json"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class PinnedVoter(_Frozen):
    """A voter with all that its requests need. `key` is the name of a key in PANEL_API_KEYS;
    without a `url` the voter is asked at INFERENCE_URL.
    """

    name: str
    model: str
    digest: str | None
    url: str | None
    key: str | None
    format: PromptFormat
    sampling: SamplingValues
    probe: Probe | None
    held: HeldLine
    weight: int | float
    accuracy: ValidationRows | None
    note: str | None = None
    note_message: CodedMessage | None = None


class PinnedPanel(_Frozen):
    """panel.json of a job: written once, by the shard that starts the job. All of the job's workers
    use it, although the panel's file may change.
    """

    name: str
    source: Literal["file", "published"]
    weights: Literal["uniform", "given", "accuracy"]
    voters: tuple[PinnedVoter, ...]


def scaled(weights: Sequence[float]) -> list[float]:
    """The weights relative to the largest, in whole steps of `WEIGHT_STEP` and at least one."""
    largest = max(weights)
    steps = [max(1, round(weight / largest / WEIGHT_STEP)) for weight in weights]
    return [1 if step * WEIGHT_STEP == 1 else step * WEIGHT_STEP for step in steps]


def log_odds(accuracy: ValidationRows, chance: float) -> float:
    """The weight of a voter by its accuracy; 0 or less at or below chance.

    The vote of independent voters is most often right with the weight log((m - 1) p / (1 - p)), if
    wrong votes fall on the other m - 1 options alike; with m = 2 it is the log odds (Nitzan and
    Paroush 1982; for more classes Zhu et al. 2009, SAMME, equation 4). `chance` is 1 / m. p is
    estimated by (right + 1) / (total + 2), so it is never 0 or 1.
    """
    p = (accuracy.right + 1) / (accuracy.total + 2)
    others = 1 / chance - 1
    return math.log(others * p / (1 - p)) if others > 0 else 0.0


def by_accuracy(accuracies: Sequence[ValidationRows], chance: float) -> list[float]:
    """The voters' weights by accuracy, scaled. One at or below chance has the smallest, unless all
    are.
    """
    odds = [max(0.0, log_odds(accuracy, chance)) for accuracy in accuracies]
    return scaled(odds) if max(odds) > 0 else [1] * len(odds)
