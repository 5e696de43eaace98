from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.vote import TIE_BREAKS, draws_needed, outcome

LABELS = st.one_of(st.none(), st.sampled_from("ABC"))


def vote(labels: list[str | None], k: int, *, early_stop: bool) -> tuple[list[str | None], int]:
    """The slots drawn, and in how many rounds, when `labels` is what each slot would hold."""
    slots: list[str | None] = []
    rounds = 0
    while count := draws_needed(slots, k, early_stop=early_stop):
        slots = labels[: len(slots) + count]
        rounds += 1
    return slots, rounds


@given(k=st.integers(1, 64), data=st.data())
def test_stopping_early_never_changes_the_winner(k: int, data: st.DataObject) -> None:
    labels = data.draw(st.lists(LABELS, min_size=k + TIE_BREAKS, max_size=k + TIE_BREAKS))
    short, _ = vote(labels, k, early_stop=True)
    whole, _ = vote(labels, k, early_stop=False)
    assert outcome(short, k).answer == outcome(whole, k).answer
    assert outcome(short, k).tie == outcome(whole, k).tie


@pytest.mark.parametrize("k", [1, 2, 3, 4, 5])
def test_no_draw_is_made_that_could_not_change_the_winner(k: int) -> None:
    for slots in (list(s) for n in range(k) for s in product((None, "A", "B"), repeat=n)):
        rest = k - len(slots)
        winners = {
            outcome([*slots, *more], k).answer
            for more in product((None, "A", "B", "C"), repeat=rest)
        }
        ties = {
            outcome([*slots, *more], k).tie for more in product((None, "A", "B", "C"), repeat=rest)
        }
        settled = len(winners) == 1 and ties == {False}
        assert (draws_needed(slots, k, early_stop=True) == 0) == settled


@given(k=st.integers(1, 64), slots=st.lists(LABELS, max_size=63))
def test_a_round_is_as_large_as_the_least_that_could_settle_the_vote(
    k: int, slots: list[str | None]
) -> None:
    slots = slots[: k - 1]
    count = draws_needed(slots, k, early_stop=True)
    if count == 0:
        return
    leader = outcome(slots, k).answer or "A"
    assert draws_needed([*slots, *[leader] * count], k, early_stop=True) == 0
    if len(slots) + count < k:
        assert draws_needed([*slots, *[leader] * (count - 1)], k, early_stop=True) > 0


def test_a_vote_of_three_begins_with_two_draws() -> None:
    assert draws_needed([], 3, early_stop=True) == 2
    assert draws_needed(["A", "A"], 3, early_stop=True) == 0
    assert draws_needed(["A", "B"], 3, early_stop=True) == 1
    assert draws_needed(["A", None], 3, early_stop=True) == 1


def test_a_tie_draws_up_to_two_more_and_then_falls_to_the_label_seen_first() -> None:
    assert draws_needed(["A", "B"], 2, early_stop=True) == 1
    assert draws_needed(["A", "B", "B"], 2, early_stop=True) == 0
    assert draws_needed(["A", "B", None], 2, early_stop=True) == 1
    assert draws_needed(["A", "B", None, None], 2, early_stop=True) == 0
    assert outcome(["A", "B", "B"], 2).answer == "B"
    assert outcome(["B", "A", None, None], 2).answer == "B"
    assert outcome(["A", "B", "B"], 2).tie


def test_invalid_samples_do_not_vote() -> None:
    result = outcome([None, "B", None], 3)
    assert (result.answer, result.agreement, result.tally, result.tie) == (
        "B",
        1.0,
        {"B": 1},
        False,
    )


def test_a_question_without_a_valid_sample_has_no_winner_and_draws_no_tie_breaks() -> None:
    assert outcome([None, None, None], 3).answer is None
    assert draws_needed([None, None, None], 3, early_stop=True) == 0
