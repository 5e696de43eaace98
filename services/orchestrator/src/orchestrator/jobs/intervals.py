"""The precision of accuracies: 95 % intervals and the paired test. Proportions are in [0, 1]."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

Z = 1.959964  # 97.5 % point of the normal distribution


class Estimate(NamedTuple):
    value: float
    low: float
    high: float


class Comparison(NamedTuple):
    """Accuracy of the second minus the first on the same questions, and its p-value."""

    difference: Estimate
    p_value: float


def wilson(correct: float, total: float) -> Estimate:
    """A proportion with Wilson's score interval (Wilson 1927; Newcombe 1998, method 3)."""
    p = correct / total
    centre = (p + Z * Z / (2 * total)) / (1 + Z * Z / total)
    half = Z * math.sqrt(p * (1 - p) / total + Z * Z / (4 * total * total)) / (1 + Z * Z / total)
    return Estimate(p, max(0.0, centre - half), min(1.0, centre + half))


def clustered(clusters: Sequence[tuple[int, int]]) -> tuple[Estimate, float]:
    """A proportion over clusters of (right, all), its interval and the design effect.

    Errors in questions of one problem are correlated, so such questions carry less information than
    independent ones. The variance is the cluster-robust one of a ratio (Cochran 1977, Sampling
    Techniques, section 11.6; Miller 2024, "Adding error bars to evals", section 2.2); the interval
    is Wilson's for the number of independent questions that would have that variance (Franco et al.
    2019). The design effect is at least 1.
    """
    total = sum(size for _, size in clusters)
    correct = sum(right for right, _ in clusters)
    p, count = correct / total, len(clusters)
    effect = 1.0
    if count > 1 and 0 < correct < total:
        squares = sum((right - p * size) ** 2 for right, size in clusters)
        variance = count / (count - 1) * squares / total**2
        effect = max(1.0, variance * total / (p * (1 - p)))
    return wilson(correct / effect, total / effect), effect


def compare(first: Sequence[bool], second: Sequence[bool]) -> Comparison:
    """Paired comparison of two runs over the same questions, in the same order.

    The interval is Newcombe's (1998, "Improved confidence intervals for the difference between
    binomial proportions based on paired data", method 10); the p-value is McNemar's exact two-sided
    one.

    Raises:
        ValueError: the runs are empty or have different lengths.
    """
    pairs = list(zip(first, second, strict=True))
    n = len(pairs)
    if not n:
        raise ValueError("nothing to compare")
    both, gained = pairs.count((True, True)), pairs.count((False, True))
    lost, neither = pairs.count((True, False)), pairs.count((False, False))
    one, two = wilson(both + lost, n), wilson(both + gained, n)
    margins = (both + lost) * (gained + neither) * (both + gained) * (lost + neither)
    cross = both * neither - gained * lost
    corrected = cross - n / 2 if cross > n / 2 else min(cross, 0)
    phi = corrected / math.sqrt(margins) if margins else 0.0
    low = _reach(two.value - two.low, one.high - one.value, phi)
    high = _reach(two.high - two.value, one.value - one.low, phi)
    difference = two.value - one.value
    return Comparison(
        Estimate(difference, difference - low, difference + high), _mcnemar(gained, lost)
    )


def _reach(a: float, b: float, phi: float) -> float:
    return math.sqrt(max(0.0, a * a - 2 * phi * a * b + b * b))


def _mcnemar(gained: int, lost: int) -> float:
    n = gained + lost
    tail = sum(math.comb(n, i) for i in range(min(gained, lost) + 1))
    return min(1.0, 2 * tail / (1 << n))  # divides integers, because each is too large for a float
