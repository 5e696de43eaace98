"""Whether a job's votes look like those that a calibration was fitted to."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable

from pydantic import BaseModel, Field

# A difference this rare by chance is told.
TOLD_BELOW = 0.001


class Distribution(BaseModel):
    """Values in rising order with their counts. `clusters` is the number of problems."""

    values: tuple[float, ...]
    counts: tuple[int, ...]
    clusters: int = Field(ge=1)

    @property
    def mean(self) -> float:
        total = sum(v * n for v, n in zip(self.values, self.counts, strict=True))
        return total / sum(self.counts)


class Shift(BaseModel):
    """Two distributions that differ: their means, the largest difference of their cumulative
    shares (`distance`), and how likely so large a one is by chance.
    """

    of: str
    before: float
    now: float
    distance: float
    p_value: float


def distribution(values: Iterable[float], clusters: int) -> Distribution:
    found = sorted(Counter(values).items())
    return Distribution(
        values=tuple(value for value, _ in found),
        counts=tuple(count for _, count in found),
        clusters=max(1, clusters),
    )


def kolmogorov_smirnov(one: Distribution, two: Distribution) -> tuple[float, float]:
    """The two-sample test's distance and its p-value by the limiting distribution.

    Questions of a problem are correlated, so a sample counts as large as its number of problems.
    Equal values make the p-value larger than it should be, never smaller.
    """
    distance = _distance(one, two)
    m, n = (min(d.clusters, sum(d.counts)) for d in (one, two))
    root = math.sqrt(m * n / (m + n))
    return distance, kolmogorov_tail((root + 0.12 + 0.11 / root) * distance)


def kolmogorov_tail(x: float) -> float:
    """The probability that Kolmogorov's distribution exceeds x (Stephens 1970)."""
    if x < 0.2:
        return 1.0
    total = sum((1 if j % 2 else -1) * math.exp(-2 * j * j * x * x) for j in range(1, 101))
    return min(1.0, max(0.0, 2 * total))


def shift(of: str, before: Distribution, now: Distribution) -> Shift | None:
    """None if the difference may be chance."""
    if not before.counts or not now.counts:
        return None
    distance, p_value = kolmogorov_smirnov(before, now)
    if p_value >= TOLD_BELOW:
        return None
    return Shift(of=of, before=before.mean, now=now.mean, distance=distance, p_value=p_value)


def _distance(one: Distribution, two: Distribution) -> float:
    totals = sum(one.counts), sum(two.counts)
    counts = [dict(zip(d.values, d.counts, strict=True)) for d in (one, two)]
    sums, most = [0, 0], 0.0
    for value in sorted({*one.values, *two.values}):
        for i in (0, 1):
            sums[i] += counts[i].get(value, 0)
        most = max(most, abs(sums[0] / totals[0] - sums[1] / totals[1]))
    return most
