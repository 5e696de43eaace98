import math
from collections.abc import Sequence
from fractions import Fraction
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.jobs.records import Sample
from orchestrator.jobs.vote import (
    TIE_BREAKS,
    WEIGHT_STEP,
    Outcome,
    Slot,
    draws_needed,
    outcome,
    slot_of,
    weigher,
    weight_of,
)

LABELS = st.one_of(st.none(), st.sampled_from("ABC"))
# a job that asks for all right options votes over sets
SETS = st.one_of(st.none(), st.sampled_from(("A", "C", "AC", "ABC")))
WHOLE = st.builds(Slot, LABELS, st.just(1))
WEIGHED = st.builds(Slot, LABELS, st.floats(-5, 0).map(weight_of))
TEMPERATURES = st.one_of(st.floats(1e-3, 100), st.just(math.inf))
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


@given(k=st.integers(1, 64), temperature=TEMPERATURES, data=st.data())
def test_a_vote_by_confidence_that_stops_early_keeps_its_winner(
    k: int, temperature: float, data: st.DataObject
) -> None:
    confident = st.builds(Slot, LABELS, st.floats(-30, 0).map(lambda c: weight_of(c, temperature)))
    held = data.draw(st.lists(confident, min_size=k + TIE_BREAKS, max_size=k + TIE_BREAKS))
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


STEPS = st.integers(1, 2**20).map(lambda n: n * WEIGHT_STEP)
VOTERS = st.lists(st.one_of(st.just(1), STEPS), min_size=1, max_size=16)


@st.composite
def panel_votes(draw: st.DrawFn) -> tuple[int, list[float], list[Slot]]:
    """A vote of k by a panel: k, the voters' weights, and what each slot holds."""
    k, voters = draw(st.integers(1, 64)), draw(VOTERS)
    samples = st.tuples(LABELS, st.one_of(st.just(1), STEPS))
    held = draw(st.lists(samples, min_size=k + TIE_BREAKS, max_size=k + TIE_BREAKS))
    slots = [
        Slot(label, weight * voters[place % len(voters)])
        for place, (label, weight) in enumerate(held)
    ]
    return k, voters, slots


@given(panel_votes())
def test_a_panels_vote_that_stops_early_has_the_same_winner(
    case: tuple[int, list[float], list[Slot]],
) -> None:
    k, voters, held = case
    drawn: list[Slot] = []
    while count := draws_needed(drawn, k, early_stop=True, voters=voters):
        drawn = held[: len(drawn) + count]
    short, whole = outcome(drawn, k), outcome(vote(held, k, early_stop=False), k)
    assert (short.answer, short.tie) == (whole.answer, whole.tie)


@given(panel_votes())
def test_a_panels_votes_add_up_exactly(case: tuple[int, list[float], list[Slot]]) -> None:
    _, _, held = case
    exact = sum(Fraction(slot.weight) for slot in held)
    assert sum(slot.weight for slot in held) == exact == sum(slot.weight for slot in held[::-1])


@given(panel_votes(), st.data())
def test_a_panels_round_is_the_smallest_that_could_settle_the_vote(
    case: tuple[int, list[float], list[Slot]], data: st.DataObject
) -> None:
    k, voters, held = case
    drawn = held[: data.draw(st.integers(0, k - 1))]
    count = draws_needed(drawn, k, early_stop=True, voters=voters)
    label = outcome(drawn, k).answer or "A"

    def with_more(more: int) -> list[Slot]:
        places = range(len(drawn), len(drawn) + more)
        return [*drawn, *(Slot(label, voters[place % len(voters)]) for place in places)]

    assert draws_needed(with_more(count), k, early_stop=True, voters=voters) == 0
    for fewer in range(1, count):
        assert draws_needed(with_more(fewer), k, early_stop=True, voters=voters) > 0


def test_light_voters_to_come_end_a_vote_sooner() -> None:
    """The two slots that are left have half a vote together, and the leader leads by one."""
    weights = [1, 0.25, 0.25]
    assert draws_needed([Slot("A", 1)], 3, early_stop=True) == 1
    assert draws_needed([Slot("A", 1)], 3, early_stop=True, voters=weights) == 0
    assert draws_needed([Slot(None, 1)], 3, early_stop=True, voters=weights) == 2


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


@given(st.lists(st.floats(-20, 5), min_size=1, max_size=64), TEMPERATURES)
def test_weights_lie_in_0_to_1_and_add_up_exactly(
    logprobs: list[float], temperature: float
) -> None:
    weights = [weight_of(logprob, temperature) for logprob in logprobs]
    assert all(0 < weight <= 1 for weight in weights)
    assert sum(weights) == math.fsum(reversed(weights))


@given(
    st.lists(st.tuples(st.sampled_from("ABC"), st.floats(-5, 0)), min_size=1, max_size=9),
    st.sampled_from((0.5, 1.0, 4.0)),
)
def test_the_softmax_within_a_question_has_the_same_winner(
    samples: list[tuple[str, float]], temperature: float
) -> None:
    """CISC divides by the sum. Shares that differ by less than the rounding may fall either way."""
    normalizer = math.fsum(math.exp(c / temperature) for _, c in samples)
    shares = {
        label: math.fsum(
            math.exp(c / temperature) / normalizer for one, c in samples if one == label
        )
        for label, _ in samples
    }
    slots = [Slot(label, weight_of(c, temperature)) for label, c in samples]
    answer = outcome(slots, len(slots)).answer
    assert answer is not None
    rounding = len(samples) * WEIGHT_STEP / normalizer
    assert shares[answer] >= max(shares.values()) - rounding


def sample(label: str | None, **logprobs: float) -> Sample:
    return Sample(
        slot=0,
        attempt=0,
        label=label,
        seed=0,
        finish_reason="stop",
        tokens=9,
        text="",
        **logprobs,
    )


def test_each_way_of_voting_weighs_by_its_own_probability() -> None:
    drawn = sample("A", logprob=math.log(0.5), answer_logprob=math.log(0.25))
    assert weigher("plurality", None)(drawn) == 1
    assert weigher("weighted", 2.0)(drawn) == pytest.approx(0.5, abs=WEIGHT_STEP)
    assert weigher("confidence", None)(drawn) == pytest.approx(0.25, abs=WEIGHT_STEP)
    assert weigher("confidence", 2.0)(drawn) == pytest.approx(0.5, abs=WEIGHT_STEP)
    assert weigher("confidence", 0.5)(drawn) == pytest.approx(0.0625, abs=WEIGHT_STEP)
    assert weigher("confidence", math.inf)(drawn) == 1


def test_a_sample_that_names_no_option_weighs_nothing_in_any_way() -> None:
    without = slot_of(sample(None, logprob=-3.0), weigher("confidence", 1.0))
    assert outcome([without, Slot("B", 0.5)], 2).tally == {"B": 0.5}
