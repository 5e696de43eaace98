"""Logistic regression on a few features of a vote, with an L2 penalty, by Newton's method."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict

from orchestrator.jobs.confidence.dirichlet import Dirichlet, fit_dirichlet
from orchestrator.jobs.confidence.votes import Case, Vote

# On weights of standardized features: one question's worth of evidence against each.
PENALTY = 1.0
MOST_STEPS = 25
CLOSE = 1e-8
FARTHEST = 30.0


class Logistic(BaseModel):
    """`weights` belong to the features' own units; the first is the constant."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    kind: Literal["logistic"] = "logistic"
    posterior: Dirichlet
    names: tuple[str, ...]
    weights: tuple[float, ...]

    def probability(self, vote: Vote) -> float:
        found = features(vote, self.posterior)
        values = (found[name] for name in self.names)
        return sigmoid(sum(w * x for w, x in zip(self.weights, (1.0, *values), strict=True)))


def features(vote: Vote, posterior: Dirichlet) -> dict[str, float]:
    """A vote's features. An absent log-probability counts as 0 nats."""
    p = min(1 - 1e-9, max(1e-9, posterior.probability(vote)))
    drawn = vote.for_answer + sum(vote.for_others) + vote.invalid
    return {
        "posterior": math.log(p / (1 - p)),
        "options": math.log(vote.options),
        "invalid": vote.invalid / drawn,
        "cut": vote.cut / drawn,
        "tie": float(vote.tie),
        "forced": float(vote.forced),
        "logprob": vote.logprob or 0.0,
    }


def fit_logistic(cases: Mapping[Case, int], start: Dirichlet | None = None) -> Logistic:
    """Features that are the same in every case are left out."""
    posterior = fit_dirichlet(cases, start)
    rows = [(features(case.vote, posterior), case.right, n) for case, n in cases.items()]
    total = sum(n for _, _, n in rows)
    means: dict[str, float] = {}
    scales: dict[str, float] = {}
    for name in rows[0][0]:
        mean = sum(n * found[name] for found, _, n in rows) / total
        variance = sum(n * (found[name] - mean) ** 2 for found, _, n in rows) / total
        if variance > 1e-12:
            means[name], scales[name] = mean, math.sqrt(variance)
    sums: dict[tuple[float, ...], list[int]] = {}
    for found, right, n in rows:
        x = (1.0, *((found[name] - means[name]) / scales[name] for name in means))
        entry = sums.setdefault(x, [0, 0])
        entry[0] += n * right
        entry[1] += n
    standard = newton([(x, right, n) for x, (right, n) in sums.items()])
    weights = [w / scales[name] for w, name in zip(standard[1:], means, strict=True)]
    constant = standard[0] - sum(w * m for w, m in zip(weights, means.values(), strict=True))
    return Logistic(posterior=posterior, names=tuple(means), weights=(constant, *weights))


def newton(rows: Sequence[tuple[Sequence[float], int, int]]) -> list[float]:
    """The weights of a penalized logistic regression over rows of (features, right, all).

    The first feature is the constant 1, which has no penalty but a trace that keeps it finite.
    """
    size = len(rows[0][0])
    penalties = [1e-3, *[PENALTY] * (size - 1)]
    weights = [0.0] * size
    for _ in range(MOST_STEPS):
        gradient = [-p * w for p, w in zip(penalties, weights, strict=True)]
        curvature = [[penalties[i] if i == j else 0.0 for j in range(i + 1)] for i in range(size)]
        for x, right, n in rows:
            p = sigmoid(sum(w * value for w, value in zip(weights, x, strict=True)))
            slope, bend = right - n * p, n * p * (1 - p)
            for i, value in enumerate(x):
                gradient[i] += slope * value
                row, bent = curvature[i], bend * value
                for j in range(i + 1):
                    row[j] += bent * x[j]
        step = solve(curvature, gradient)
        longest = max(abs(value) for value in step)
        shrink = min(1.0, 5.0 / longest) if longest else 1.0  # no leap where it is nearly flat
        weights = [w + shrink * s for w, s in zip(weights, step, strict=True)]
        if longest < CLOSE:
            break
    return weights


def solve(lower: Sequence[Sequence[float]], right: Sequence[float]) -> list[float]:
    """Solve A x = right for a positive definite A, given by its lower triangle (Cholesky)."""
    size = len(right)
    root: list[list[float]] = [[0.0] * size for _ in range(size)]
    for i in range(size):
        for j in range(i + 1):
            rest = lower[i][j] - sum(root[i][k] * root[j][k] for k in range(j))
            root[i][j] = math.sqrt(rest) if i == j else rest / root[j][j]
    forward: list[float] = []
    for i in range(size):
        rest = right[i] - sum(root[i][k] * forward[k] for k in range(i))
        forward.append(rest / root[i][i])
    found = [0.0] * size
    for i in reversed(range(size)):
        rest = forward[i] - sum(root[k][i] * found[k] for k in range(i + 1, size))
        found[i] = rest / root[i][i]
    return found


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-min(FARTHEST, max(-FARTHEST, x))))
