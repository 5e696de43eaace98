"""Forecasts of a job's accuracy: from confidences alone, and with some keys."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import NamedTuple

from orchestrator.jobs.intervals import Estimate, Z, wilson


class Guess(NamedTuple):
    """A problem's questions in sums: the number of questions, and the sum of their confidences. A
    question without an answer has a confidence of 0.
    """

    questions: int
    confidence: float


class Keyed(NamedTuple):
    """A problem's questions with keys: their number, right answers, and sum of confidences."""

    questions: int
    right: int
    confidence: float


def forecast(
    confidences: Sequence[float], by_replicate: Sequence[float], design_effect: float
) -> Estimate:
    """A job's accuracy and its 95 % interval, without keys.

    `by_replicate` has the mean confidence by each of the calibration's replicates: their variance
    is the calibration's uncertainty. Chance adds the variance of the right answers themselves,
    times the design effect of problems. The interval is Wilson's for the number of independent
    questions that would have this variance.
    """
    n = len(confidences)
    mean = sum(confidences) / n
    chance = sum(p * (1 - p) for p in confidences) / n**2 * design_effect
    centre = sum(by_replicate) / len(by_replicate)
    spread = sum((m - centre) ** 2 for m in by_replicate) / (len(by_replicate) - 1)
    return _interval(mean, chance + spread)


def residual_effect(problems: Sequence[Keyed], variance: float) -> float:
    """How much more the number of right answers varies than for independent questions, given their
    confidences; at least 1. `variance` is the sum of p (1 - p).
    """
    squares = sum((p.right - p.confidence) ** 2 for p in problems)
    return max(1.0, squares / variance) if variance > 0 else 1.0


def with_some_keys(unkeyed: Sequence[Guess], keyed: Sequence[Keyed]) -> Estimate:
    """The accuracy of a job of which a random sample has keys: prediction-powered inference.

    The mean confidence of the questions without keys, plus the mean error of the confidences where
    there are keys (Angelopoulos et al. 2023, "Prediction-powered inference", arXiv 2301.09633,
    algorithm 1), with variances clustered by problem. It holds whatever the confidences are worth;
    good ones make the interval narrow.
    """
    n = sum(p.questions for p in keyed)
    rectifier = sum(p.right - p.confidence for p in keyed) / n
    errors = [(p.right - p.confidence, p.questions) for p in keyed]
    variance = _variance_of_mean(errors, rectifier)
    if unkeyed:
        total = sum(p.questions for p in unkeyed)
        guessed = sum(p.confidence for p in unkeyed) / total
        variance += _variance_of_mean([(p.confidence, p.questions) for p in unkeyed], guessed)
    else:
        guessed = sum(p.confidence for p in keyed) / n
        variance = _variance_of_mean(
            [(p.right, p.questions) for p in keyed], sum(p.right for p in keyed) / n
        )
    value = guessed + rectifier
    half = Z * math.sqrt(variance)
    low, high = max(0.0, value - half), min(1.0, value + half)
    return Estimate(min(1.0, max(0.0, value)), low, high)


def expected_half_width(confidences: Sequence[float], keys: int, design_effect: float) -> float:
    """Half of the width that `with_some_keys` is expected to have with so many keys, if the
    confidences are right.
    """
    n = len(confidences)
    mean = sum(confidences) / n
    error = sum(p * (1 - p) for p in confidences) / n * design_effect / keys
    guessed = sum((p - mean) ** 2 for p in confidences) / n / max(1, n - keys)
    return Z * math.sqrt(error + guessed)


def whom_to_label(positions: Sequence[int], count: int, seed: int) -> list[int]:
    """A random sample of questions, the same for the same seed, in rising order."""
    return sorted(random.Random(seed).sample(positions, min(count, len(positions))))


def _variance_of_mean(clusters: Sequence[tuple[float, int]], mean: float) -> float:
    """The cluster-robust variance of a ratio of sums (Cochran 1977, section 11.6)."""
    total, count = sum(size for _, size in clusters), len(clusters)
    squares = sum((value - mean * size) ** 2 for value, size in clusters)
    return count / max(1, count - 1) * squares / total**2


def _interval(mean: float, variance: float) -> Estimate:
    if not 0 < mean < 1 or variance <= 0:
        return Estimate(mean, mean, mean)
    size = mean * (1 - mean) / variance
    return wilson(mean * size, size)
