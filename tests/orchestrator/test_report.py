"""A finished job's report compared with counts by hand; and comparisons of two jobs."""

import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.jobs.comparison import Verdict, compare_jobs
from orchestrator.jobs.cutting import CutSums, was_cut
from orchestrator.jobs.intervals import clustered, wilson
from orchestrator.jobs.records import Answer, JobSettings, Sample
from orchestrator.jobs.recounting import answer_by, first_draw, slots_of, winner
from orchestrator.jobs.report_models import Report
from orchestrator.jobs.vote import Slot, draws_needed, outcome, plurality
from problem_files import problem_file
from stub_server import StubServer, hashed_reply
from workers import Bench


def stopped_early(slots: list[Slot], k: int) -> list[Slot]:
    drawn: list[Slot] = []
    while count := draws_needed(drawn, k, early_stop=True):
        drawn = slots[: len(drawn) + count]
    return drawn


@given(
    labels=st.lists(st.sampled_from(["A", "B", "C", None]), min_size=12, max_size=12),
    k=st.integers(1, 9),
    data=st.data(),
)
def test_a_smaller_vote_has_its_exact_winner_after_early_stop(
    labels: list[str | None], k: int, data: st.DataObject
) -> None:
    slots = [Slot(label) for label in labels]
    votes = data.draw(st.integers(1, k))
    drawn = stopped_early(slots, k)
    if len(drawn) >= votes:
        taken = slots[:votes]
        first, second, *_ = [
            *sorted((taken.count(Slot(name)) for name in "ABC"), reverse=True),
            0,
        ]
        if first > second:
            assert winner(drawn, votes) == outcome(taken, votes).answer
    if votes == k:
        assert winner(drawn, votes) == outcome(drawn, k).answer


def test_a_slot_holds_its_last_attempt() -> None:
    drawn = [(0, 0, None), (1, 0, "B"), (0, 1, "A")]
    samples = tuple(
        Sample(
            slot=slot, attempt=attempt, label=label, seed=0, finish_reason="stop", tokens=1, text=""
        )
        for slot, attempt, label in drawn
    )
    answer = Answer(id="p", index=0, answer="A", samples=samples)
    assert slots_of(answer, plurality) == [Slot("A"), Slot("B")]
    forced = answer.model_copy(update={"flags": ("forced",)})
    assert slots_of(forced, plurality) == [Slot(None)]


def sample_of(chars: int, *, cut: bool) -> Sample:
    finish = "length" if cut else "stop"
    label = None if cut else "A"
    return Sample(
        slot=0, attempt=0, label=label, seed=0, finish_reason=finish, tokens=0, text="x" * chars
    )


def test_a_sample_counts_as_cut_only_if_it_named_no_option() -> None:
    cut = sample_of(9, cut=True)
    assert was_cut(cut)
    assert not was_cut(cut.model_copy(update={"label": "A"}))
    assert not was_cut(cut.model_copy(update={"finish_reason": "stop"}))
    open_block = {"finish_reason": "stop", "text": "<think>假设答案是：A"}
    assert was_cut(cut.model_copy(update=open_block))


@pytest.mark.parametrize("where", ["in the text", "apart", "counted alone"])
def test_a_proposed_limit_counts_the_reasoning(where: str) -> None:
    """The answers are short, and some of the long reasoning is cut."""

    def sample(chars: int, *, cut: bool) -> Sample:
        thought = "x" * chars
        text = "" if cut else "答案是：A"
        found: dict[str, str | int] = {}
        if where == "in the text":
            text = f"<think>{thought}" if cut else f"<think>{thought}</think>{text}"
        elif where == "apart":
            found = {"reasoning": thought}
        else:
            found = {"reasoning_tokens": chars // 3}
        return sample_of(0, cut=cut).model_copy(update={"text": text, **found})

    sums = CutSums()
    drawn = [(10_000, True)] * 10 + [(1000, False)] * 80 + [(6000, False)] * 10
    for chars, cut in drawn:
        sums.count(Answer(id="p", index=0, answer="A", samples=(sample(chars, cut=cut),)))
    found = sums.found(512)
    assert found is not None
    assert found.proposed_max_tokens == 512 * 16


@pytest.mark.parametrize(
    ("whole", "proposed"),
    [
        ([], 2),  # no sample to judge by
        ([1000] * 90, 2),  # all samples above half the limit were cut
        ([1000] * 80 + [6000] * 10, 16),  # 10 %, halved by each doubling: 5, 2.5, 1.25, 0.6
        ([1000] * 20 + [6000] * 970, 2),  # 1 % are cut
    ],
)
def test_the_proposed_limit_follows_the_lengths(whole: list[int], proposed: int) -> None:
    sums = CutSums()
    for chars, cut in [(10_000, True)] * 10 + [(chars, False) for chars in whole]:
        sums.count(Answer(id="p", index=0, answer="A", samples=(sample_of(chars, cut=cut),)))
    found = sums.found(512)
    assert found is not None
    assert (found.samples, found.questions) == (10, 10)
    assert found.proposed_max_tokens == 512 * proposed
    assert CutSums().found(512) is None


def test_correlated_errors_widen_the_interval_by_problem() -> None:
    """20 problems of 4 questions, half of the problems all right: a design effect of 4, times the
    correction for few clusters, 20 / 19."""
    estimate, effect = clustered([(4, 4)] * 10 + [(0, 4)] * 10)
    assert effect == pytest.approx(4 * 20 / 19)
    assert (estimate.low, estimate.high) == pytest.approx(wilson(40 / effect, 80 / effect)[1:])
    _, spread_evenly = clustered([(2, 4)] * 20)
    assert spread_evenly == 1


def test_the_report_agrees_with_the_answers(bench: Bench) -> None:
    job = bench.post(problem_file(40), JobSettings(samples=5))
    bench.start_worker()
    bench.wait(job)
    report = Report.model_validate_json(bench.read(job, "report.json"))
    answers = [
        Answer.model_validate_json(line) for line in bench.read(job, "answers.jsonl").splitlines()
    ]
    right = sum(answer.answer == "A" for answer in answers)
    assert (report.questions, report.answered, report.failed) == (80, 80, 0)
    assert report.accuracy is not None
    assert (report.accuracy.correct, report.accuracy.total) == (right, 80)
    assert [entry.votes for entry in report.accuracy_by_votes] == [1, 3, 5]
    assert report.accuracy_by_votes[-1].accuracy.correct == right
    single = sum(answer_by(1, answer, plurality) == "A" for answer in answers)
    assert report.accuracy_by_votes[0].accuracy.correct == single
    first = sum(answer.samples[0].label == "A" for answer in answers)
    assert report.accuracy_first_draw is not None
    assert report.accuracy_first_draw.correct == first < single
    assert report.labels == {label: [a.answer for a in answers].count(label) for label in "AB"}
    assert report.keys == {"A": 80}
    for flag, count in report.flags.items():
        assert count == sum(flag in answer.flags for answer in answers)
    samples = [sample for answer in answers for sample in answer.samples]
    assert report.samples == {
        "drawn": len(samples),
        "saved": sum(answer.samples_saved for answer in answers),
        "invalid": sum(sample.label is None for sample in samples),
    }
    assert report.tokens["completion"] == sum(sample.tokens for sample in samples)
    assert sum(level.questions for level in report.agreement_levels) == sum(
        answer.agreement is not None for answer in answers
    )
    assert sum(len(problem.missed) for problem in report.missed) == 80 - right
    assert report.provenance.sha256 == job.sha256
    assert report.provenance.start is not None
    assert report.provenance.start.versions["quorum"]
    assert report.provenance.settings.samples == 5


def test_a_vote_of_1_equals_a_job_with_one_sample(bench: Bench, server: StubServer) -> None:
    """It is redrawn if it names no option, and restricted to the labels if it never does."""

    def reply(prompt: str, seed: int) -> str:  # for every 30th question, no reply names an option
        number = hashlib.sha256(prompt.encode()).digest()[0]
        return "不知道。" if number % 30 == 0 else hashed_reply(prompt, seed)

    server.reply = reply
    found: list[list[Answer]] = []
    for samples in (1, 5):
        job = bench.post(problem_file(60), JobSettings(samples=samples, allow_partial=True))
        if not found:
            bench.start_worker()
        bench.wait(job)
        lines = bench.read(job, "answers.jsonl").splitlines()
        found.append([Answer.model_validate_json(line) for line in lines])
    pairs = list(zip(*found, strict=True))
    known = [(one, five) for one, five in pairs if "forced" not in one.flags]
    assert [answer_by(1, five, plurality) for _, five in known] == [one.answer for one, _ in known]
    assert any("resampled" in one.flags for one, _ in known)
    forced = [(one, five) for one, five in pairs if "forced" in one.flags]
    for one, five in forced:
        if "forced" in five.flags:
            assert answer_by(1, five, plurality) == one.answer
        else:  # no reply restricted to the labels was drawn for it
            assert answer_by(1, five, plurality) is None
        assert first_draw(one) is None
    assert any("forced" in five.flags for _, five in forced)


def test_a_report_without_keys_has_no_accuracy(bench: Bench) -> None:
    job = bench.post(problem_file(3, labelled=False))
    bench.start_worker()
    bench.wait(job)
    report = json.loads(bench.read(job, "report.json"))
    assert report["accuracy"] is report["accuracy_by_problem"] is None
    assert report["accuracy_by_votes"] == report["missed"] == []
    assert report["accuracy_first_draw"] is None
    assert report["keys"] == {}


def verdicts(*answers: tuple[str, str | None, str | None]) -> dict[tuple[str, int], Verdict]:
    return {
        (name, 0): Verdict(place, answer, key) for place, (name, answer, key) in enumerate(answers)
    }


def test_two_jobs_are_compared_over_their_common_questions() -> None:
    """Six answers are gained and none is lost: McNemar's exact p is 2 / 2**6."""
    one = verdicts(*[(f"q{i}", "B", "A") for i in range(6)], ("same", "A", "A"), ("one", "A", "A"))
    two = verdicts(*[(f"q{i}", "A", "A") for i in range(6)], ("same", "A", "A"), ("two", "A", "A"))
    found = compare_jobs(one, two)
    assert (found.questions, found.only_first, found.only_second) == (7, 1, 1)
    assert (found.gained, found.lost, found.same_answer) == (6, 0, 1)
    assert found.p_value == 2 / 2**6
    assert found.difference == pytest.approx(6 / 7)
    assert [change.id for change in found.changed] == [f"q{i}" for i in range(6)]
    assert [change.second_position for change in found.changed] == list(range(6))


def test_jobs_without_keys_are_compared_by_answers_alone() -> None:
    found = compare_jobs(verdicts(("a", "A", None)), verdicts(("a", "B", None)))
    assert (found.same_answer, len(found.changed)) == (0, 1)
    assert found.p_value is found.difference is None
