"""The statistics of confidence, against values of SciPy 1.17.1 and scikit-learn 1.9 and by hand."""

from __future__ import annotations

import math
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.jobs.confidence.choosing import choose
from orchestrator.jobs.confidence.conformal import Cutoff, cutoff, label_set, scores_of
from orchestrator.jobs.confidence.dirichlet import Dirichlet, fit_dirichlet, log_likelihood
from orchestrator.jobs.confidence.forecasting import (
    Guess,
    Keyed,
    expected_half_width,
    forecast,
    whom_to_label,
    with_some_keys,
)
from orchestrator.jobs.confidence.isotonic import Isotonic, fit_isotonic, pool
from orchestrator.jobs.confidence.logistic import features, fit_logistic, newton, sigmoid
from orchestrator.jobs.confidence.reliability import (
    brier,
    calibration_error,
    coverage_curve,
    reliability,
)
from orchestrator.jobs.confidence.shifts import distribution, kolmogorov_smirnov, shift
from orchestrator.jobs.confidence.votes import Case, Vote, case_of, vote_of
from orchestrator.jobs.records import Answer, Flag, Sample

MODEL = Dirichlet(right=2.5, wrong=0.4)


def vote(*votes: int, options: int = 4) -> Vote:
    return Vote(votes[0], votes[1:], options)


def sample(slot: int, label: str | None, attempt: int = 0, logprob: float | None = None) -> Sample:
    return Sample(
        slot=slot,
        attempt=attempt,
        label=label,
        seed=0,
        finish_reason="length" if label is None else "stop",
        tokens=1,
        logprob=logprob,
        text="",
    )


def answer(*samples: Sample, flags: tuple[Flag, ...] = (), key: str | None = "A") -> Answer:
    return Answer(id="p", index=0, answer="A", key=key, samples=samples, flags=flags)


# ---- the evidence -------------------------------------------------------------------------------


def test_a_vote_counts_slots_and_its_invalid_samples() -> None:
    drawn = (sample(0, None), sample(0, "B", 1), sample(1, "A"), sample(2, "A"))
    found = vote_of(answer(*drawn, flags=("tie",)), 4)
    assert found == Vote(2, (1,), 4, invalid=1, cut=1, tie=True)


def test_a_forced_answer_is_one_vote() -> None:
    found = vote_of(answer(sample(0, None), sample(1, "A"), flags=("forced",)), 4)
    assert found == Vote(1, (), 4, invalid=1, cut=1, forced=True)


def test_a_log_probability_counts_only_if_all_have_one() -> None:
    both = answer(sample(0, "A", logprob=-0.11), sample(1, "A", logprob=-0.32))
    one = answer(sample(0, "A", logprob=-0.11), sample(1, "A"))
    assert [getattr(vote_of(a, 4), "logprob", 0) for a in (both, one)] == [-0.2, None]


def test_no_answer_is_no_vote_and_no_key_no_case() -> None:
    assert vote_of(Answer(id="p", index=0, answer=None), 4) is None
    assert case_of(answer(sample(0, "A"), key=None), 4) is None


def test_with_all_right_options_asked_for_labels_are_sets() -> None:
    found = vote_of(answer(sample(0, "A")).model_copy(update={"multiple": True}), 4)
    assert found is not None
    assert found.options == 15


def test_the_best_of_several_right_options_stands_for_the_key() -> None:
    drawn = (sample(0, "A"), sample(1, "A"), sample(2, "B"))
    assert case_of(answer(*drawn, key="BC"), 4) == Case(vote(2, 1), 1, right=False)
    assert case_of(answer(*drawn, key="AB"), 4) == Case(vote(2, 1), 2, right=True)


# ---- the posterior ------------------------------------------------------------------------------


def test_the_posterior_is_that_of_scipys_multinomials() -> None:
    """scipy.stats.dirichlet_multinomial.pmf([3, 1, 0, 1], alpha, 5), alpha 2.5 for one option in
    turn and 0.4 for the others, divided by their sum.
    """
    shares, without = MODEL.shares([3, 1, 1], 4)
    assert [*shares, without] == pytest.approx([0.68455641, 0.1460387, 0.1460387, 0.02336619])


def test_the_likelihood_is_that_of_scipys_multinomials() -> None:
    """logpmf([3, 1, 0, 1], [2.5, .4, .4, .4], 5) is -3.703407 with the 20 orders of the samples."""
    cases = {Case(vote(3, 1, 1), 3, right=True): 1}
    assert log_likelihood(cases, MODEL) == pytest.approx(-3.703407451511776 - math.log(20))
    wrong = {Case(vote(3, 1, 1), 1, right=False): 1}
    assert log_likelihood(wrong, MODEL) == pytest.approx(-5.248306842808305 - math.log(20))


def test_a_vote_stopped_at_two_is_not_one_of_three() -> None:
    two, three = MODEL.probability(vote(2)), MODEL.probability(vote(3))
    assert MODEL.probability(vote(1)) < two < three < 1
    later = MODEL.probability(vote(2, 1))
    assert later < two


@given(
    votes=st.lists(st.integers(0, 32), min_size=1, max_size=5),
    right=st.floats(1e-3, 1e3),
    wrong=st.floats(1e-3, 1e3),
)
def test_posteriors_of_all_labels_add_up_to_one(
    votes: list[int], right: float, wrong: float
) -> None:
    shares, without = Dirichlet(right=right, wrong=wrong).shares(votes, 7)
    assert sum(shares) + (7 - len(votes)) * without == pytest.approx(1)


def test_the_fit_has_the_highest_likelihood_nearby() -> None:
    cases = Counter(
        {
            Case(vote(3), 3, right=True): 60,
            Case(vote(2, 1), 2, right=True): 25,
            Case(vote(2, 1), 1, right=False): 10,
            Case(vote(3), 0, right=False): 5,
        }
    )
    found = fit_dirichlet(cases)
    best = log_likelihood(cases, found)
    for factor in (0.97, 1.03):
        for name in ("right", "wrong"):
            moved = found.model_copy(update={name: factor * getattr(found, name)})
            assert log_likelihood(cases, moved) < best


def test_a_fit_to_right_answers_alone_stays_finite() -> None:
    found = fit_dirichlet({Case(vote(3), 3, right=True): 300})
    assert 0.99 < found.probability(vote(3)) <= 1


# ---- isotonic and logistic ----------------------------------------------------------------------


def test_pooled_violators_are_scikit_learns() -> None:
    """IsotonicRegression().fit(range(8), y, sample_weight=w).predict(range(8))."""
    pairs = [(0, 1), (2, 2), (0, 1), (0, 3), (1, 1), (1, 1), (0, 2), (1, 1)]
    third = 1 / 3
    assert pool(pairs) == pytest.approx([0, third, third, third, 0.5, 0.5, 0.5, 1])


def test_an_isotonic_probability_rises_and_is_never_sure() -> None:
    cases = {Case(vote(n), n, right=True): 50 for n in (1, 2, 3)}
    cases[Case(vote(1), 0, right=False)] = 50
    found = fit_isotonic(cases)
    values = [found.probability(vote(n)) for n in (1, 2, 3)]
    assert values == pytest.approx([0.5, 1 - 1 / 202, 1 - 1 / 202])


def test_between_two_scores_an_isotonic_probability_is_on_their_line() -> None:
    middle = MODEL.probability(vote(2, 1))
    low, high = middle - 0.1, middle + 0.3
    found = Isotonic(posterior=MODEL, scores=(low, high), probabilities=(0.2, 0.6))
    assert found.probability(vote(2, 1)) == pytest.approx(0.3)
    assert found.probability(vote(60)) == 0.6 or high > 1
    assert found.probability(vote(1, 30)) == 0.2


def test_newtons_weights_are_scikit_learns() -> None:
    """LogisticRegression(C=1).fit(X, y); its constant has no penalty, and ours nearly none."""
    x = [(0.5, 1), (1.5, -1), (-0.3, 0.2), (2, 2), (-1, -0.7), (0.1, 0.4), (-0.9, 1.1), (1.2, 0.3)]
    y = [1, 1, 0, 1, 0, 1, 0, 0]
    found = newton([((1.0, *row), right, 1) for row, right in zip(x, y, strict=True)])
    assert found == pytest.approx([-0.40037226, 0.85109264, 0.20051581], abs=5e-4)


def test_constant_features_are_left_out_of_the_regression() -> None:
    cases = {
        Case(vote(3), 3, right=True): 90,
        Case(vote(3), 0, right=False): 10,
        Case(vote(2, 1), 2, right=True): 60,
        Case(vote(2, 1), 1, right=False): 40,
    }
    found = fit_logistic(cases)
    assert found.names == ("posterior",)
    assert found.probability(vote(3)) == pytest.approx(0.9, abs=0.01)
    assert found.probability(vote(2, 1)) == pytest.approx(0.6, abs=0.01)


def test_invalid_samples_are_features() -> None:
    found = features(Vote(2, (1,), 4, invalid=1, cut=1, tie=True, logprob=-0.5), MODEL)
    assert found["invalid"] == found["cut"] == 0.25
    assert (found["tie"], found["forced"], found["logprob"]) == (1, 0, -0.5)
    assert sigmoid(found["posterior"]) == pytest.approx(MODEL.probability(vote(2, 1)))


def test_models_that_are_equally_good_give_the_simplest() -> None:
    problems = [[Case(vote(3), 3 if right else 0, right=right)] for right in [True] * 9 + [False]]
    found = choose(problems * 30)
    assert found.name == "dirichlet" or found.scores[0].behind > found.scores[0].standard_error


def test_a_model_that_misses_a_feature_loses() -> None:
    """Ties are always wrong here, which only the regression can see."""
    tied = vote(2, 1)._replace(tie=True)
    right, wrong = Case(vote(2, 1), 2, right=True), Case(tied, 1, right=False)
    found = choose([[right, wrong]] * 100)
    assert found.name == "logistic"
    assert [score.name for score in found.scores] == ["dirichlet", "isotonic", "logistic"]
    assert found.scores[2].behind == 0 < found.scores[0].behind


# ---- how right ----------------------------------------------------------------------------------


def test_brier_and_calibration_error_are_those_counted_by_hand() -> None:
    confidences, right = [0.9, 0.9, 0.6, 0.6], [True, False, True, True]
    assert brier(confidences, right) == pytest.approx((0.01 + 0.81 + 0.16 + 0.16) / 4)
    error, bins = calibration_error(confidences, right, bins=2)
    assert error == pytest.approx(0.4)
    assert bins == 2


def test_equal_confidences_stay_in_one_bin() -> None:
    found = reliability([0.5] * 70 + [0.9] * 30, [True] * 100)
    assert [(b.questions, b.least, b.most) for b in found] == [(70, 0.5, 0.5), (30, 0.9, 0.9)]


def test_folds_are_not_taken_for_levels_of_confidence() -> None:
    """One vote, half right, in two folds: the fold with more right answers has lower confidences,
    because its fit has seen the other fold alone.
    """
    confidences, right = (
        [0.4] * 10 + [0.6] * 10,
        [True] * 6 + [False] * 4 + [True] * 4 + [False] * 6,
    )
    assert calibration_error(confidences, right)[0] == pytest.approx(0.2)
    error, bins = calibration_error(confidences, right, [0.5] * 20)
    assert error == pytest.approx(0)
    assert bins == 1


def test_coverage_begins_with_the_surest_answers() -> None:
    found = coverage_curve([0.6, 0.9, 0.9], [False, True, True], total=4)
    points = [(p.at_least, p.coverage, p.questions, p.accuracy) for p in found]
    assert points == [(0.9, 0.5, 2, 1.0), (0.6, 0.75, 3, pytest.approx(2 / 3))]
    assert coverage_curve([0.6, 0.9], None, total=2)[-1].accuracy is None
    assert len(coverage_curve([i / 1000 for i in range(1000)], None, total=1000)) == 40


# ---- forecasts ----------------------------------------------------------------------------------


def test_a_forecast_adds_both_uncertainties() -> None:
    sure = forecast([0.8] * 400, [0.8, 0.8, 0.8], 1.0)
    assert sure.value == pytest.approx(0.8)
    assert sure.high - sure.low == pytest.approx(2 * 1.96 * 0.02, abs=2e-3)
    unsure = forecast([0.8] * 400, [0.78, 0.8, 0.82], 1.0)
    assert unsure.high - unsure.low == pytest.approx(2 * 1.96 * math.hypot(0.02, 0.02), abs=3e-3)
    by_problem = forecast([0.8] * 400, [0.8, 0.8, 0.8], 4.0)
    assert by_problem.high - by_problem.low > 1.9 * (sure.high - sure.low)


def test_keys_correct_confidences_that_are_wrong() -> None:
    """Confidences of 0.9 where half are right: their error is -0.4 on the keyed questions."""
    keyed = [Keyed(2, 1, 1.8)] * 50
    found = with_some_keys([Guess(1, 0.9)] * 300, keyed)
    assert found.value == pytest.approx(0.5)


def test_the_interval_with_some_keys_is_that_of_the_paper() -> None:
    """Mean 0.75 of f, rectifier -0.05; variances 0.0625 / 100 and of the errors / 20."""
    unkeyed = [Guess(1, 0.5), Guess(1, 1.0)] * 50
    keyed = [Keyed(1, 1, 0.8), Keyed(1, 1, 0.8), Keyed(1, 1, 0.8), Keyed(1, 0, 0.8)] * 5
    found = with_some_keys(unkeyed, keyed)
    assert found.value == pytest.approx(0.75 + 0.75 - 0.8)
    variance = 0.0625 / 99 + 0.1875 / 19
    assert found.high - found.value == pytest.approx(1.959964 * math.sqrt(variance))


def test_with_all_keys_the_confidences_do_not_matter() -> None:
    found = with_some_keys([], [Keyed(1, 1, 0.1), Keyed(1, 0, 0.9)] * 50)
    assert found.value == pytest.approx(0.5)
    assert found.high - found.value == pytest.approx(1.959964 * math.sqrt(0.25 / 99))


def test_more_keys_promise_a_narrower_interval() -> None:
    half = [expected_half_width([0.8] * 1000, keys, 1.0) for keys in (50, 200)]
    assert half == pytest.approx([1.96 * math.sqrt(0.16 / n) for n in (50, 200)], abs=1e-4)


def test_the_same_questions_are_proposed_for_a_seed() -> None:
    first, again = (whom_to_label(range(500), 20, seed=3) for _ in range(2))
    assert first == again == sorted(set(first))
    assert whom_to_label(range(5), 20, seed=3) == [0, 1, 2, 3, 4]


# ---- sets of labels -----------------------------------------------------------------------------


def test_the_quantile_is_that_of_a_finite_sample() -> None:
    """ceil(11 x 0.9) = 10: the largest of ten scores."""
    scores = tuple((i / 10, 1) for i in range(10))
    assert cutoff(scores, 0.9) == Cutoff(0.9, 0.5)
    assert cutoff(scores, 0.5) == Cutoff(0.5, 0.5)
    assert cutoff(scores[:8], 0.9) == Cutoff(math.inf, 1.0)


def test_a_set_holds_the_answer_and_labels_below_the_cutoff() -> None:
    low = label_set({"B": 3}, "ABCD", "B", "q", MODEL, Cutoff(0.0, 0.0))
    assert low == ("B",)
    shares, _ = MODEL.shares([3, 2], 4)
    limit = Cutoff(1 - shares[1] + 1e-6, 1.0)
    assert label_set({"B": 3, "D": 2}, "ABCD", "B", "q", MODEL, limit) == ("B", "D")
    assert label_set({"B": 3}, "ABCD", "B", "q", MODEL, Cutoff(math.inf, 1.0)) == tuple("ABCD")


def test_scores_of_right_labels_are_counted() -> None:
    cases = [Case(vote(3), 3, right=True)] * 2 + [Case(vote(2, 1), 1, right=False)]
    cases += [Case(vote(3), 0, right=False)]
    found = dict(scores_of(cases, MODEL))
    shares, _ = MODEL.shares([2, 1], 4)
    sure, without = MODEL.shares([3], 4)
    assert found == pytest.approx(
        {round(1 - sure[0], 9): 2, round(1 - shares[1], 9): 1, round(1 - without, 9): 1}
    )


# ---- shifts -------------------------------------------------------------------------------------


def test_the_distance_of_two_samples_is_scipys() -> None:
    """scipy.stats.ks_2samp(..., method="asymp") gives 0.16 and p = 0.188; ours has Stephens's
    correction for small samples.
    """
    one = distribution((i / 100 for i in range(100)), 100)
    two = distribution((i / 80 + 0.15 for i in range(80)), 80)
    distance, p_value = kolmogorov_smirnov(one, two)
    assert distance == pytest.approx(0.16)
    assert p_value == pytest.approx(0.188, abs=0.02)


def test_a_shift_is_told_with_both_means() -> None:
    before = distribution([1.0] * 80 + [0.6] * 20, 100)
    now = distribution([1.0] * 40 + [0.6] * 60, 100)
    found = shift("agreement", before, now)
    assert found is not None
    assert (found.distance, found.before, found.now) == pytest.approx((0.4, 0.92, 0.76))
    assert found.p_value < 0.001


def test_equal_votes_are_no_shift() -> None:
    before = distribution([1.0] * 80 + [0.6] * 20, 100)
    assert shift("agreement", before, distribution([1.0] * 78 + [0.6] * 22, 100)) is None
    assert shift("agreement", before, distribution([], 0)) is None


def test_a_few_problems_with_many_questions_are_few() -> None:
    before = distribution([1.0] * 80 + [0.6] * 20, 100)
    now = distribution([1.0] * 40 + [0.6] * 60, 6)
    assert shift("agreement", before, now) is None
