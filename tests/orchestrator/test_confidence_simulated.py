"""What confidence promises, on simulated votes that no fit has seen."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from orchestrator.jobs.confidence.choosing import FITS, choose, fit_to_all, replicates
from orchestrator.jobs.confidence.conformal import cutoff, label_set, scores_of
from orchestrator.jobs.confidence.dirichlet import fit_dirichlet
from orchestrator.jobs.confidence.forecasting import (
    Guess,
    Keyed,
    forecast,
    residual_effect,
    with_some_keys,
)
from orchestrator.jobs.confidence.reliability import calibration_error
from orchestrator.jobs.confidence.votes import Case, Vote
from simulated_votes import OPTIONS, simulated_problems

Problems = Sequence[Sequence[Case]]


def cases_of(problems: Problems) -> list[Case]:
    return [case for problem in problems for case in problem]


@pytest.mark.parametrize("name", FITS)
@pytest.mark.parametrize("early_stop", [True, False])
def test_every_model_is_calibrated_on_unseen_votes(name: str, *, early_stop: bool) -> None:
    rng = random.Random(1)
    seen, unseen = (simulated_problems(rng, 1200, early_stop=early_stop) for _ in range(2))
    model, cases = fit_to_all(seen, name), cases_of(unseen)
    confidences = [model.probability(case.vote) for case in cases]
    error, bins = calibration_error(confidences, [case.right for case in cases])
    assert error <= 0.03
    assert bins >= 4


def test_the_chosen_model_is_calibrated_by_cross_validation() -> None:
    problems = simulated_problems(random.Random(2), 1200)
    found = choose(problems)
    right = [case.right for case in cases_of(problems)]
    assert calibration_error(found.predicted, right, found.fitted)[0] <= 0.03


def test_forecast_intervals_hold_in_93_of_100_jobs() -> None:
    """Each of 200 rounds has a calibration of its own, and a job without keys."""
    rng, held = random.Random(3), 0
    for _ in range(200):
        seen, job = simulated_problems(rng, 120), cases_of(simulated_problems(rng, 150))
        model = fit_dirichlet(_counts(seen))
        keyed = [
            Keyed(len(p), sum(c.right for c in p), sum(model.probability(c.vote) for c in p))
            for p in seen
        ]
        known = [model.probability(case.vote) for case in cases_of(seen)]
        effect = residual_effect(keyed, sum(p * (1 - p) for p in known))
        means = [
            sum(fit.probability(case.vote) for case in job) / len(job)
            for fit in replicates(seen, "dirichlet", 20)
        ]
        found = forecast([model.probability(case.vote) for case in job], means, effect)
        held += found.low <= sum(case.right for case in job) / len(job) <= found.high
    assert held >= 186


def _counts(problems: Problems) -> dict[Case, int]:
    cases = cases_of(problems)
    return {case: cases.count(case) for case in dict.fromkeys(cases)}


def test_with_some_keys_even_wrong_confidences_give_intervals_that_hold() -> None:
    """The confidence is 0.99 for every answer. The truth is what most simulated answers are."""
    rng, held = random.Random(4), 0
    cases = cases_of(simulated_problems(rng, 8000))
    truth = sum(case.right for case in cases) / len(cases)
    for _ in range(200):
        problems = simulated_problems(rng, 300)
        keyed = [Keyed(len(p), sum(c.right for c in p), 0.99 * len(p)) for p in problems[:80]]
        unkeyed = [Guess(len(p), 0.99 * len(p)) for p in problems[80:]]
        found = with_some_keys(unkeyed, keyed)
        held += found.low <= truth <= found.high
    assert held >= 186


def test_sets_of_labels_hold_the_right_one_nine_times_in_ten() -> None:
    rng = random.Random(5)
    seen, unseen = (cases_of(simulated_problems(rng, 1500, hard=0.15)) for _ in range(2))
    posterior = fit_dirichlet(_counts([seen]))
    limit = cutoff(scores_of(seen, posterior), 0.9)
    held = sizes = 0
    for number, case in enumerate(unseen):
        votes, key = _named(case)
        found = label_set(votes, "ABCD"[:OPTIONS], "A", str(number), posterior, limit)
        held += key in found
        sizes += len(found)
    assert 0.88 <= held / len(unseen) <= 0.92
    assert sizes / len(unseen) < 2.5


def _named(case: Case) -> tuple[dict[str, int], str]:
    """The votes with names for their labels, the answer being A, and the key's name."""
    vote: Vote = case.vote
    votes = dict(zip("ABCD", (vote.for_answer, *vote.for_others), strict=False))
    if case.right:
        return votes, "A"
    others = [label for label in "BCD" if votes.get(label, 0) == case.for_key]
    return votes, others[-1]
