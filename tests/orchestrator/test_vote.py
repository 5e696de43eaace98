import math
from collections.abc import Sequence
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.jobs.vote import (
    TIE_BREAKS,
    WEIGHT_STEP,
    Outcome,
    Slot,
    draws_needed,
    outcome,
    weight_of,
)

LABELS = st.one_of(st.none(), st.sampled_from("ABC"))
# a job that asks for all right options votes over sets
SETS = st.one_of(st.none(), st.sampled_from(("A", "C", "AC", "ABC")))
WHOLE = st.builds(Slot, LABELS, st.just(1))
WEIGHED = st.builds(Slot, LABELS, st.floats(-5, 0).map(weight_of))
OF_SETS = st.builds(Slot, SETS, st.one_of(st.just(1), st.floats(-5, 0).map(weight_of)))


def plain(labels: Sequence[str | None]) -> list[Slot]:
    return [Slot(label) for label in labels]


def needed(labels: Sequence[str | None], k: int) -> int:
    return draws_needed(plain(labels), k, early_stop=True)


def result(labels: Sequence[str | None], k: int) -> Outcome:
    return outcome(plain(labels), k)


def vote(slots: list[Slot], k: int, *, early_stop: bool) -> list[Slot]:
    """The slots that a vote draws if `slots` are their contents."""
    drawn: list[Slot] = []
    while count := draws_needed(drawn, k, early_stop=early_stop):
        drawn = slots[: len(drawn) + count]
    return drawn


@pytest.mark.parametrize("slots", [WHOLE, WEIGHED, OF_SETS])
@given(k=st.integers(1, 64), data=st.data())
def test_stopping_early_never_changes_the_winner(
    slots: st.SearchStrategy[Slot], k: int, data: st.DataObject
) -> None:
    held = data.draw(st.lists(slots, min_size=k + TIE_BREAKS, max_size=k + TIE_BREAKS))
    short, whole = vote(held, k, early_stop=True), vote(held, k, early_stop=False)
    assert outcome(short, k).answer == outcome(whole, k).answer
    assert outcome(short, k).tie == outcome(whole, k).tie


@given(heaviest=st.integers(1, 2**23), k=st.integers(1, 64), data=st.data())
def test_stopping_early_is_exact_for_weights_up_to_any_bound(
    heaviest: int, k: int, data: st.DataObject
) -> None:
    """Weights are whole multiples of `WEIGHT_STEP`, so that their sums are exact."""
    slots = st.builds(Slot, LABELS, st.integers(1, heaviest).map(lambda n: n * WEIGHT_STEP))
    held = data.draw(st.lists(slots, min_size=k + TIE_BREAKS, max_size=k + TIE_BREAKS))
    most = heaviest * WEIGHT_STEP
    drawn: list[Slot] = []
    while count := draws_needed(drawn, k, early_stop=True, heaviest=most):
        drawn = held[: len(drawn) + count]
    assert outcome(drawn, k).answer == outcome(vote(held, k, early_stop=False), k).answer


@pytest.mark.parametrize("k", [1, 2, 3, 4, 5])
def test_no_sample_is_drawn_that_cannot_change_the_winner(k: int) -> None:
    for slots in (list(s) for n in range(k) for s in product((None, "A", "B"), repeat=n)):
        rest = k - len(slots)
        ends = [result([*slots, *more], k) for more in product((None, "A", "B", "C"), repeat=rest)]
        settled = len({end.answer for end in ends}) == 1 and not any(end.tie for end in ends)
        assert (needed(slots, k) == 0) == settled


@pytest.mark.parametrize("slots", [WHOLE, WEIGHED, OF_SETS])
@given(k=st.integers(1, 64), data=st.data())
def test_a_round_is_the_smallest_that_could_settle_the_vote(
    slots: st.SearchStrategy[Slot], k: int, data: st.DataObject
) -> None:
    held = data.draw(st.lists(slots, max_size=k - 1))
    count = draws_needed(held, k, early_stop=True)
    if count == 0:
        return
    leader = Slot(outcome(held, k).answer or "A")
    assert draws_needed([*held, *[leader] * count], k, early_stop=True) == 0
    if len(held) + count < k:
        assert draws_needed([*held, *[leader] * (count - 1)], k, early_stop=True) > 0


def test_a_vote_of_three_begins_with_two_draws() -> None:
    assert needed([], 3) == 2
    assert needed(["A", "A"], 3) == 0
    assert needed(["A", "B"], 3) == 1
    assert needed(["A", None], 3) == 1


def test_a_tie_draws_two_more_then_takes_the_label_seen_first() -> None:
    assert needed(["A", "B"], 2) == 1
    assert needed(["A", "B", "B"], 2) == 0
    assert needed(["A", "B", None], 2) == 1
    assert needed(["A", "B", None, None], 2) == 0
    assert result(["A", "B", "B"], 2).answer == "B"
    assert result(["B", "A", None, None], 2).answer == "B"
    assert result(["A", "B", "B"], 2).tie


def test_a_set_is_no_vote_for_its_parts() -> None:
    found = result(["AC", "A", "C", "AC"], 4)
    assert (found.answer, found.tally) == ("AC", {"A": 1, "AC": 2, "C": 1})
    assert needed(["AC", "A"], 2) == 1
    assert needed(["AC", "A", "AC"], 2) == 0


def test_invalid_samples_do_not_vote() -> None:
    found = result([None, "B", None], 3)
    assert (found.answer, found.agreement, found.tally, found.tie) == (
        "B",
        1.0,
        {"B": 1},
        False,
    )


def test_a_vote_without_valid_samples_has_no_winner_and_no_tie() -> None:
    assert result([None, None, None], 3).answer is None
    assert needed([None, None, None], 3) == 0


def test_the_most_probable_replies_win_a_weighted_vote() -> None:
    sure, unsure = weight_of(math.log(0.9)), weight_of(math.log(0.3))
    slots = [Slot("B", unsure), Slot("B", unsure), Slot("A", sure)]
    found = outcome(slots, 3)
    assert found.answer == "A"
    assert found.agreement == pytest.approx(0.9 / 1.5, abs=1e-5)
    assert draws_needed(slots[:2], 3, early_stop=True) == 1


@given(st.lists(st.floats(-20, 5), min_size=1, max_size=64))
def test_weights_lie_in_0_to_1_and_add_up_exactly(logprobs: list[float]) -> None:
    weights = [weight_of(logprob) for logprob in logprobs]
    assert all(0 < weight <= 1 for weight in weights)
    assert sum(weights) == math.fsum(reversed(weights))
