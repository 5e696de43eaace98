"""Isotonic regression: the probability is any rising function of the posterior of `dirichlet`.

Pool adjacent violators (Ayer et al. 1955; as a calibration: Zadrozny and Elkan 2002).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from orchestrator.jobs.confidence.dirichlet import Dirichlet, fit_dirichlet
from orchestrator.jobs.confidence.votes import Case, Vote


class Isotonic(BaseModel):
    """Scores in rising order with their probabilities; between two scores it is a line."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    kind: Literal["isotonic"] = "isotonic"
    posterior: Dirichlet
    scores: tuple[float, ...] = Field(min_length=1)
    probabilities: tuple[float, ...] = Field(min_length=1)

    def probability(self, vote: Vote) -> float:
        score = self.posterior.probability(vote)
        after = bisect_left(self.scores, score)
        if after == 0:
            return self.probabilities[0]
        if after == len(self.scores):
            return self.probabilities[-1]
        low, high = self.scores[after - 1], self.scores[after]
        part = (score - low) / (high - low)
        left, right = self.probabilities[after - 1], self.probabilities[after]
        return left + part * (right - left)


def fit_isotonic(cases: Mapping[Case, int], start: Dirichlet | None = None) -> Isotonic:
    """No probability is below 1 / (n + 2) or above 1 - 1 / (n + 2) for n questions."""
    posterior = fit_dirichlet(cases, start)
    sums: dict[float, list[int]] = {}
    for case, count in cases.items():
        found = sums.setdefault(round(posterior.probability(case.vote), 12), [0, 0])
        found[0] += count * case.right
        found[1] += count
    scores = sorted(sums)
    fitted = pool([(sums[score][0], sums[score][1]) for score in scores])
    least = 1 / (sum(cases.values()) + 2)
    bounded = [min(1 - least, max(least, value)) for value in fitted]
    kept = [
        i
        for i in range(len(scores))
        if i in (0, len(scores) - 1) or not bounded[i - 1] == bounded[i] == bounded[i + 1]
    ]
    return Isotonic(
        posterior=posterior,
        scores=tuple(scores[i] for i in kept),
        probabilities=tuple(bounded[i] for i in kept),
    )


def pool(groups: Sequence[tuple[float, float]]) -> list[float]:
    """The rising sequence with the least squared error to groups of (sum, weight), in order."""
    blocks: list[tuple[float, float, int]] = []
    for total, weight in groups:
        block = (total, weight, 1)
        while blocks and blocks[-1][0] * block[1] >= block[0] * blocks[-1][1]:
            before = blocks.pop()
            block = (before[0] + block[0], before[1] + block[1], before[2] + block[2])
        blocks.append(block)
    return [total / weight for total, weight, size in blocks for _ in range(size)]
