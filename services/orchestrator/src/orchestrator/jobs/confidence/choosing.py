"""Chooses among three models of confidence by cross-validation, and draws further fits of the
chosen one, which show how uncertain it is.

Questions of one problem are correlated. So a problem is in one fold as a whole, and the bootstrap
draws whole problems.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Annotated, NamedTuple, Protocol

from pydantic import BaseModel, Field

from orchestrator.jobs.confidence.dirichlet import Dirichlet, fit_dirichlet
from orchestrator.jobs.confidence.isotonic import Isotonic, fit_isotonic
from orchestrator.jobs.confidence.logistic import Logistic, fit_logistic
from orchestrator.jobs.confidence.reliability import brier, calibration_error
from orchestrator.jobs.confidence.votes import Case, Vote

FOLDS = 10
REPLICATES = 200
SEED = 20261127

Model = Annotated[Dirichlet | Isotonic | Logistic, Field(discriminator="kind")]
Problem = Sequence[Case]
"""The cases of one problem's questions."""


class Fit(Protocol):
    def __call__(
        self, cases: Mapping[Case, int], start: Dirichlet | None = None
    ) -> Dirichlet | Isotonic | Logistic: ...


# The simplest first.
FITS: Mapping[str, Fit] = {
    "dirichlet": fit_dirichlet,
    "isotonic": fit_isotonic,
    "logistic": fit_logistic,
}


class ModelScore(BaseModel):
    """Scores of a model on questions that its fit has not seen.

    `behind` is its Brier score minus the best model's, `standard_error` that of this difference
    (paired, by problem).
    """

    name: str
    brier: float
    calibration_error: float
    behind: float
    standard_error: float


class Choice(NamedTuple):
    """The chosen model's name, all models' scores, and the chosen one's predictions for each case,
    in order: of fits that have not seen the case, and of the fit to all.
    """

    name: str
    scores: list[ModelScore]
    predicted: list[float]
    fitted: list[float]


def choose(problems: Sequence[Problem]) -> Choice:
    """The simplest model whose Brier score is within one standard error of the best model's.

    The standard error is that of the difference: much of a score's own error is the questions',
    and that is the same for all models.
    """
    right = [case.right for problem in problems for case in problem]
    predicted = {name: cross_validated(problems, fit) for name, fit in FITS.items()}
    fitted = {name: _fitted(problems, name) for name in FITS}
    briers = {name: brier(values, right) for name, values in predicted.items()}
    best = min(briers, key=lambda name: briers[name])
    scores = []
    for name, values in predicted.items():
        behind, error = _difference(problems, values, predicted[best])
        scores.append(
            ModelScore(
                name=name,
                brier=briers[name],
                calibration_error=calibration_error(values, right, fitted[name])[0],
                behind=behind,
                standard_error=error,
            )
        )
    chosen = next(score.name for score in scores if score.behind <= score.standard_error)
    return Choice(chosen, scores, predicted[chosen], fitted[chosen])


def cross_validated(problems: Sequence[Problem], fit: Fit) -> list[float]:
    """For each case, in order, the prediction of a fit to the other folds."""
    order = list(range(len(problems)))
    random.Random(SEED).shuffle(order)
    fold_of = {problem: place % FOLDS for place, problem in enumerate(order)}
    counts = [Counter[Case]() for _ in range(FOLDS)]
    for number, problem in enumerate(problems):
        counts[fold_of[number]].update(problem)
    whole = sum(counts, Counter[Case]())
    start = fit_dirichlet(whole)
    models = [fit(whole - count, start) for count in counts]
    known: list[dict[Case, float]] = [{} for _ in counts]
    found = []
    for number, problem in enumerate(problems):
        fold = fold_of[number]
        for case in problem:
            if case not in known[fold]:
                known[fold][case] = models[fold].probability(case.vote)
            found.append(known[fold][case])
    return found


def fit_to_all(problems: Sequence[Problem], name: str) -> Dirichlet | Isotonic | Logistic:
    return FITS[name](Counter(case for problem in problems for case in problem))


def _fitted(problems: Sequence[Problem], name: str) -> list[float]:
    """For each case, in order, the prediction of the fit to all cases."""
    model = fit_to_all(problems, name)
    known: dict[Vote, float] = {}
    for problem in problems:
        for case in problem:
            if case.vote not in known:
                known[case.vote] = model.probability(case.vote)
    return [known[case.vote] for problem in problems for case in problem]


def replicates(
    problems: Sequence[Problem], name: str, count: int = REPLICATES
) -> list[Dirichlet | Isotonic | Logistic]:
    """Fits to problems that were drawn with replacement: the clustered bootstrap."""
    rng = random.Random(SEED)
    whole = Counter(case for problem in problems for case in problem)
    number_of = {case: number for number, case in enumerate(whole)}  # many cases are the same
    numbered = [[number_of[case] for case in problem] for problem in problems]
    start = fit_dirichlet(whole)
    found = []
    for _ in range(count):
        drawn = [0] * len(number_of)
        for problem in rng.choices(numbered, k=len(numbered)):
            for number in problem:
                drawn[number] += 1
        cases = {case: drawn[number] for case, number in number_of.items() if drawn[number]}
        found.append(FITS[name](cases, start))
    return found


def _difference(
    problems: Sequence[Problem], one: Sequence[float], two: Sequence[float]
) -> tuple[float, float]:
    """The difference of two Brier scores, and its standard error clustered by problem."""
    losses, at = [], 0
    for problem in problems:
        of_problem = 0.0
        for case in problem:
            of_problem += (one[at] - case.right) ** 2 - (two[at] - case.right) ** 2
            at += 1
        losses.append((of_problem, len(problem)))
    mean = sum(loss for loss, _ in losses) / at
    squares = sum((loss - mean * size) ** 2 for loss, size in losses)
    count = len(losses)
    return mean, math.sqrt(count / max(1, count - 1) * squares) / at
