"""What a report says of a panel's voters."""

from typing import Any

import pytest

from orchestrator.jobs.intervals import compare
from orchestrator.jobs.records import Answer, Sample
from orchestrator.jobs.report_models import PanelFigures
from orchestrator.jobs.voter_records import ValidationRows, VoterRecord
from orchestrator.jobs.voters import VoterSums

NAMES = ("a", "b", "c")


def record(name: str, accuracy: ValidationRows | None = None) -> VoterRecord:
    return VoterRecord(
        name=name,
        model=f"m-{name}",
        sampling={"temperature": 0.7, "top_p": 1.0, "max_tokens": 10},
        accuracy=accuracy,
    )


def sample(slot: int, label: str | None, attempt: int = 0) -> Sample:
    return Sample(
        slot=slot,
        attempt=attempt,
        voter=NAMES[slot % 3],
        label=label,
        seed=0,
        finish_reason="stop",
        tokens=1,
        text="",
    )


def answer(labels: str, won: str | None, **more: Any) -> Answer:
    """An answer to a question whose key is A; "-" is a sample that names no option."""
    samples = tuple(
        sample(slot, None if label == "-" else label) for slot, label in enumerate(labels)
    )
    return Answer(id="p", index=0, answer=won, key="A", samples=samples, **more)


VALIDATED = tuple(
    record(name, ValidationRows(right=right, total=10))
    for name, right in zip(NAMES, (5, 9, 7), strict=True)
)


def figures(
    answers: list[Answer], voters: tuple[VoterRecord, ...] = VALIDATED, *, labelled: bool = True
) -> PanelFigures:
    sums = VoterSums("three", voters, labelled=labelled)
    for one in answers:
        sums.count(one)
    return sums.figures()


def test_each_voters_accuracy_is_over_its_own_samples() -> None:
    found = figures([answer("AB-", "A"), answer("AAB", "A")])
    assert [(v.samples, v.invalid) for v in found.voters] == [(2, 0), (2, 0), (2, 1)]
    rights = [v.accuracy.correct if v.accuracy else None for v in found.voters]
    assert rights == [2, 1, 0]
    assert [v.validation.right if v.validation else None for v in found.voters] == [5, 9, 7]


def test_a_redrawn_sample_counts_once_by_its_last_attempt() -> None:
    redrawn = answer("ABA", "A")
    first = sample(0, None)
    again = tuple(
        s.model_copy(update={"attempt": 1}) if s.slot == 0 else s for s in redrawn.samples
    )
    found = figures([redrawn.model_copy(update={"samples": (first, *again)})])
    assert (found.voters[0].samples, found.voters[0].invalid) == (1, 0)


def test_agreement_counts_equal_labels_of_the_same_turn() -> None:
    found = figures([answer("AABABB", "B"), answer("A-A", "A")])
    of_pair = {(p.first, p.second): (p.samples, p.equal) for p in found.agreement}
    assert of_pair == {
        ("a", "b"): (2, 0.5),
        ("a", "c"): (3, pytest.approx(1 / 3)),
        ("b", "c"): (2, 0.5),
    }


def test_voters_that_never_met_have_no_agreement() -> None:
    found = figures([answer("AA", "A")])
    assert [pair.equal for pair in found.agreement] == [1.0, None, None]


def test_the_vote_is_compared_with_the_best_voter_on_validation_rows() -> None:
    """c is best here, but b was on validation rows."""
    answers = [answer("BBA", "B"), answer("ABA", "A"), answer("AAA", "A"), answer("ABA", "A")]
    found = figures(answers).against_best
    assert found is not None
    expected = compare([False, False, True, False], [False, True, True, True])
    assert (found.voter, found.questions) == ("b", 4)
    assert (found.voters_accuracy.correct, found.votes_accuracy.correct) == (1, 3)
    assert (found.difference, found.low, found.high) == expected.difference
    assert found.p_value == expected.p_value


def test_without_validation_rows_no_voter_is_called_the_best() -> None:
    some = (*VALIDATED[:2], record("c"))
    found = figures([answer("AAA", "A")], some)
    assert found.against_best is None
    assert [note.code for note in found.notes] == ["no-best-voter"]


def test_a_best_voter_that_was_left_out_is_not_compared() -> None:
    last_is_best = (*VALIDATED[:2], record("c", ValidationRows(right=10, total=10)))
    found = figures([answer("AA", "A"), answer("ABA", "A")], last_is_best)
    assert found.against_best is None
    assert [note.code for note in found.notes] == ["voters-drawn-unequally", "best-voter-not-asked"]
    assert found.notes[0].params == {"voters": "c"}


def test_a_forced_reply_is_no_voters_sample() -> None:
    forced = answer("---", "A", flags=("forced",))
    held = sample(3, "A").model_copy(update={"voter": "a"})
    found = figures([forced.model_copy(update={"samples": (*forced.samples, held)})])
    assert [(v.samples, v.invalid) for v in found.voters] == [(1, 1)] * 3
    assert found.against_best is not None
    assert found.against_best.votes_accuracy.correct == 1


def test_a_file_without_keys_still_tells_how_voters_agree() -> None:
    found = figures([answer("AAB", "A").model_copy(update={"key": None})], labelled=False)
    assert [v.accuracy for v in found.voters] == [None] * 3
    assert found.against_best is None
    assert not found.notes
    assert found.agreement[0].equal == 1.0
