"""How right probabilities are: Brier score, calibration error, reliability bins, and accuracy by
coverage.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from pydantic import BaseModel

from orchestrator.jobs.intervals import wilson

BINS = 10
MOST_POINTS = 40


class ReliabilityBin(BaseModel):
    """Questions with similar confidence: its mean, and their accuracy with its 95 % interval
    (Wilson's).
    """

    least: float
    most: float
    confidence: float
    questions: int
    right: int
    accuracy: float
    low: float
    high: float


class CoveragePoint(BaseModel):
    """The questions with a confidence of `at_least`: their share of all, the mean of their
    confidence, and their accuracy if all have keys.
    """

    at_least: float
    coverage: float
    questions: int
    confidence: float
    right: int | None = None
    accuracy: float | None = None
    low: float | None = None
    high: float | None = None


def brier(confidences: Sequence[float], right: Sequence[bool]) -> float:
    """The mean squared difference between a confidence and 1 (right) or 0 (Brier 1950)."""
    pairs = zip(confidences, right, strict=True)
    return sum((p - y) ** 2 for p, y in pairs) / len(confidences)


def reliability(
    confidences: Sequence[float],
    right: Sequence[bool],
    order: Sequence[float] | None = None,
    bins: int = BINS,
) -> list[ReliabilityBin]:
    """Bins of about equal size, by rising `order`; without it, by rising confidence.

    Questions with the same `order` stay together, so there may be fewer bins than asked for.
    Confidences of a cross-validation need an `order` from one fit: sorted by themselves, bins would
    separate the folds, and a fold with many right answers has the lowest confidences.
    """
    triples = sorted(zip(order or confidences, confidences, right, strict=True))
    found: list[list[tuple[float, bool]]] = [[]]
    for _, same in groupby(triples, key=lambda triple: triple[0]):
        group = [(confidence, is_right) for _, confidence, is_right in same]
        if found[-1] and 2 * len(found[-1]) + len(group) >= 2 * len(triples) / bins:
            found.append([])
        found[-1] += group
    return [_bin(members) for members in found]


def _bin(members: Sequence[tuple[float, bool]]) -> ReliabilityBin:
    correct, count = sum(y for _, y in members), len(members)
    accuracy, low, high = wilson(correct, count)
    return ReliabilityBin(
        least=min(p for p, _ in members),
        most=max(p for p, _ in members),
        confidence=sum(p for p, _ in members) / count,
        questions=count,
        right=correct,
        accuracy=accuracy,
        low=low,
        high=high,
    )


def calibration_error(
    confidences: Sequence[float],
    right: Sequence[bool],
    order: Sequence[float] | None = None,
    bins: int = BINS,
) -> tuple[float, int]:
    """The expected calibration error and the number of bins: the mean over questions of the
    difference between their bin's accuracy and its confidence (Naeini et al. 2015; bins of equal
    size as in Nguyen and O'Connor 2015).
    """
    found = reliability(confidences, right, order, bins)
    total = sum(b.questions * abs(b.accuracy - b.confidence) for b in found)
    return total / len(confidences), len(found)


def coverage_curve(
    confidences: Sequence[float], right: Sequence[bool] | None, total: int
) -> list[CoveragePoint]:
    """Accuracy by coverage, from the most confident answers on. `total` includes questions without
    an answer.

    At most `MOST_POINTS` points, at different confidences; the last one has every answer.
    """
    keyed = right is not None
    pairs = sorted(zip(confidences, right or [False] * len(confidences), strict=True), reverse=True)
    found: list[CoveragePoint] = []
    count = correct = 0
    mass = 0.0
    for confidence, same in groupby(pairs, key=lambda pair: pair[0]):
        group = list(same)
        count, mass = count + len(group), mass + confidence * len(group)
        correct += sum(y for _, y in group)
        if count < len(pairs) and count * MOST_POINTS < (len(found) + 1) * len(pairs):
            continue
        accuracy, low, high = wilson(correct, count)
        found.append(
            CoveragePoint(
                at_least=confidence,
                coverage=count / total,
                questions=count,
                confidence=mass / count,
                right=correct if keyed else None,
                accuracy=accuracy if keyed else None,
                low=low if keyed else None,
                high=high if keyed else None,
            )
        )
    return found
