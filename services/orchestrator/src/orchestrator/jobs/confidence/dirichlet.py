"""The Dirichlet-multinomial model of a vote, and the posterior of each label being right.

For each question, the model's chances of naming each option come from a Dirichlet distribution.
Its concentration is `right` for the right option and `wrong` for each other. Before the vote, every
option is as likely to be the right one. The samples are drawn from these chances. By Bayes' rule,
the odds of a label with n votes against one without are

    (right)_n / (wrong)_n,   (x)_n = x (x + 1) ... (x + n - 1).

Samples that were never drawn are not in this, and a rule that stops by what was drawn cancels out.
So a vote stopped at 2:0 has less evidence than one of 3:0, and no more is assumed.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from orchestrator.jobs.confidence.votes import Case, Vote

# The bounds of both concentrations: beyond them, votes of up to 66 samples hardly change.
LEAST, MOST = 1e-3, 1e3
_STEPS = 120
_CLOSE = 1e-7


class Dirichlet(BaseModel):
    """The two concentrations."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    kind: Literal["dirichlet"] = "dirichlet"
    right: float = Field(gt=0)
    wrong: float = Field(gt=0)

    def log_odds(self, votes: int) -> float:
        """The log-odds of a label with so many votes against a label with none."""
        return sum(math.log((self.right + i) / (self.wrong + i)) for i in range(votes))

    def shares(self, votes: Sequence[int], options: int) -> tuple[list[float], float]:
        """The posterior of each label with votes, and that of each one of the other labels."""
        odds = [self.log_odds(n) for n in votes]
        most = max([0.0, *odds])
        weights = [math.exp(value - most) for value in odds]
        without = math.exp(-most)
        total = sum(weights) + max(0, options - len(votes)) * without
        return [weight / total for weight in weights], without / total

    def probability(self, vote: Vote) -> float:
        return self.shares((vote.for_answer, *vote.for_others), vote.options)[0][0]


def fit_dirichlet(cases: Mapping[Case, int], start: Dirichlet | None = None) -> Dirichlet:
    """The concentrations with the highest likelihood of the votes, given the right options."""
    likelihood = _likelihood(cases)
    first = start or Dirichlet(right=1.0, wrong=0.3)
    width = 0.3 if start else 1.0
    best = _highest(likelihood, (math.log(first.right), math.log(first.wrong)), width)
    right, wrong = (math.exp(_bounded(value)) for value in best)
    return Dirichlet(right=right, wrong=wrong)


Point = tuple[float, float]


def log_likelihood(cases: Mapping[Case, int], model: Dirichlet) -> float:
    """Of the samples in the order drawn, in nats."""
    return _likelihood(cases)((math.log(model.right), math.log(model.wrong)))


def _likelihood(cases: Mapping[Case, int]) -> Callable[[Point], float]:
    """The log-likelihood as a function of the logarithms of both concentrations.

    It depends on the cases only by three histograms: of votes for the right option, of votes for
    each wrong one, and of samples by the number of options.
    """
    for_right: Counter[int] = Counter()
    for_wrong: Counter[int] = Counter()
    drawn: dict[int, Counter[int]] = {}
    for (vote, for_key, right), count in cases.items():
        wrong = [*vote.for_others] if right else [vote.for_answer, *vote.for_others]
        if not right and for_key:
            wrong.remove(for_key)
        for_right[for_key] += count
        for votes in wrong:
            for_wrong[votes] += count
        drawn.setdefault(vote.options, Counter())[for_key + sum(wrong)] += count

    def at(point: Point) -> float:
        a, b = (math.exp(_bounded(value)) for value in point)
        total = _weighed(for_right, a) + _weighed(for_wrong, b)
        return total - sum(_weighed(n, a + (m - 1) * b) for m, n in drawn.items())

    return at


def _weighed(histogram: Mapping[int, int], x: float) -> float:
    """The sum of log (x)_n over a histogram of n."""
    total = logarithm = 0.0
    for n in range(1, max(histogram, default=0) + 1):
        logarithm += math.log(x + n - 1)
        total += histogram.get(n, 0) * logarithm
    return total


def _bounded(logarithm: float) -> float:
    return min(math.log(MOST), max(math.log(LEAST), logarithm))


def _highest(function: Callable[[Point], float], start: Point, width: float) -> Point:
    """The point with the highest value, by the simplex search of Nelder and Mead (1965)."""
    x, y = start
    simplex = [(function(p), p) for p in ((x, y), (x + width, y), (x, y + width))]
    for _ in range(_STEPS):
        simplex.sort(reverse=True)
        (best, first), (middle, second), (worst, third) = simplex
        if best - worst < _CLOSE and math.dist(first, third) < math.sqrt(_CLOSE):
            break
        centre = _between(first, second, 0.5)
        mirrored = _evaluated(function, _between(third, centre, 2.0))
        if mirrored[0] > best:
            simplex[2] = max(mirrored, _evaluated(function, _between(third, centre, 3.0)))
        elif mirrored[0] > middle:
            simplex[2] = mirrored
        else:
            near = 1.5 if mirrored[0] > worst else 0.5
            closer = _evaluated(function, _between(third, centre, near))
            if closer[0] > max(worst, mirrored[0]):
                simplex[2] = closer
            else:
                shrunk = (_between(first, point, 0.5) for point in (second, third))
                simplex[1:] = [_evaluated(function, point) for point in shrunk]
    return max(simplex)[1]


def _evaluated(function: Callable[[Point], float], point: Point) -> tuple[float, Point]:
    return function(point), point


def _between(one: Point, two: Point, part: float) -> Point:
    """The point at `part` of the way from `one` to `two`."""
    return one[0] + part * (two[0] - one[0]), one[1] + part * (two[1] - one[1])
