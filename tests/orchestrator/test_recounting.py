"""Votes counted in other ways from the same samples, compared with counts by hand."""

import json
import math
import re

import httpx2
import pytest
from rich.console import Console

from orchestrator.cli.display import report_view
from orchestrator.jobs.intervals import wilson
from orchestrator.jobs.records import Answer, JobSettings, Sample, StartFile, Weighing
from orchestrator.jobs.recounting import Recount
from orchestrator.jobs.report_models import Report, VoteCounted
from orchestrator.jobs.vote import weight_of
from problem_files import problem_file
from stub_server import StubServer, token
from workers import Bench

SURE, UNSURE = math.log(0.9), math.log(0.3)


def sample(slot: int, label: str | None, logprob: float | None, sure: float | None) -> Sample:
    return Sample(
        slot=slot,
        attempt=0,
        label=label,
        seed=0,
        finish_reason="stop",
        tokens=1,
        text="",
        logprob=logprob,
        answer_logprob=sure,
        span=None if sure is None else "answer",
    )


def voted(answer: str, *drawn: tuple[str | None, float | None, float | None]) -> Answer:
    samples = tuple(sample(slot, *one) for slot, one in enumerate(drawn))
    return Answer(id="p", index=0, answer=answer, key="A", samples=samples)


# the surest answer is right, the likeliest reply and the most votes are wrong
BY_CONFIDENCE = voted("A", ("A", UNSURE, SURE), ("B", SURE, UNSURE), ("B", SURE, UNSURE))
UNANIMOUS = voted("A", *[("A", SURE, SURE)] * 3)


def started(temperature: float | None) -> StartFile:
    return StartFile(
        started_at="2026-11-27T00:00:00+00:00",
        model="stub",
        digest=None,
        temperature=0.7,
        top_p=1.0,
        max_tokens=9,
        versions={},
        vote_temperature=temperature,
    )


def recounted(
    *answers: Answer, vote: Weighing = "confidence", temperature: float | None = 1.0, k: int = 3
) -> dict[Weighing, VoteCounted]:
    start = started(temperature)
    recount = Recount(JobSettings(vote=vote, samples=k), lambda: start)
    for answer in answers:
        recount.count(answer)
    return {counted.vote: counted for counted in recount.found()}


def test_each_way_counts_the_same_samples() -> None:
    found = recounted(BY_CONFIDENCE, UNANIMOUS)
    assert [*found] == ["plurality", "weighted", "confidence"]
    assert [counted.accuracy.correct for counted in found.values()] == [1, 1, 2]
    assert found["confidence"].accuracy.total == 2
    assert found["confidence"].accuracy.low == wilson(2, 2).low
    assert [counted.unsettled for counted in found.values()] == [0, 0, 0]


def test_a_way_is_compared_with_plurality_by_pairs() -> None:
    """Six answers are gained and none is lost: McNemar's exact p is 2 / 2**6."""
    found = recounted(*[BY_CONFIDENCE] * 6, UNANIMOUS)
    assert found["confidence"].p_value == 2 / 2**6
    assert found["confidence"].difference == pytest.approx(6 / 7)
    assert found["weighted"].p_value == 1
    assert found["plurality"].p_value is found["plurality"].difference is None


def test_the_recount_takes_the_temperature_of_the_job() -> None:
    assert recounted(BY_CONFIDENCE, temperature=0.5)["confidence"].accuracy.correct == 1
    assert recounted(BY_CONFIDENCE, temperature=8.0)["confidence"].accuracy.correct == 0
    assert recounted(BY_CONFIDENCE, temperature=math.inf)["confidence"].accuracy.correct == 0


def test_a_way_that_is_not_settled_by_the_samples_is_told() -> None:
    """The fourth sample could level the heads, but not 0.9 + 0.9 against 0.3 votes."""
    stopped = voted("A", ("A", SURE, SURE), ("A", SURE, SURE), ("B", UNSURE, UNSURE))
    found = recounted(stopped, k=4)
    assert [counted.unsettled for counted in found.values()] == [1, 0, 0]


def test_a_tie_that_another_way_never_had_is_not_settled() -> None:
    level = voted("A", ("A", SURE, SURE), ("B", UNSURE, UNSURE))
    found = recounted(level, k=2)
    assert found["confidence"].unsettled == 0
    assert found["plurality"].unsettled == 1


def test_a_way_needs_the_weights_of_all_votes() -> None:
    """Earlier versions wrote `logprob` alone."""
    earlier = voted("A", *[("A", SURE, None)] * 3)
    assert [*recounted(UNANIMOUS, earlier, vote="weighted")] == ["plurality", "weighted"]
    without = voted("A", *[("A", None, None)] * 3)
    assert recounted(UNANIMOUS, without) == {}
    assert recounted(UNANIMOUS, vote="plurality") == {}
    assert recounted() == {}


def test_samples_without_a_vote_need_no_weight() -> None:
    invalid = voted("A", ("A", SURE, SURE), (None, SURE, None), ("A", SURE, SURE))
    forced = voted("A", ("A", None, None)).model_copy(update={"flags": ("forced",)})
    failed = voted("A", ("A", SURE, SURE)).model_copy(update={"answer": None, "error": "away"})
    found = recounted(invalid, forced, failed)
    assert [counted.accuracy.correct for counted in found.values()] == [2, 2, 2]
    assert [counted.accuracy.total for counted in found.values()] == [3, 3, 3]
    assert [counted.unsettled for counted in found.values()] == [0, 0, 0]


def tokens(text: str) -> list[dict[str, object]]:
    return [token(text[:-1], -1.0), token(text[-1], -0.2 if text[-1] == "A" else -0.9)]


def test_a_job_votes_by_confidence_and_recounts_its_samples(
    bench: Bench, server: StubServer
) -> None:
    server.tokens_of = tokens
    settings = JobSettings(samples=5, vote="confidence", vote_temperature=0.5, early_stop=False)
    job = bench.post(problem_file(20), settings)
    bench.start_worker()
    bench.wait(job)
    start = json.loads(bench.read(job, "start.json"))
    assert start["vote_temperature"] == 0.5
    lines = bench.read(job, "answers.jsonl").splitlines()
    answers = [Answer.model_validate_json(line) for line in lines]
    weights = {"A": weight_of(-0.2, 0.5), "B": weight_of(-0.9, 0.5)}
    plurality = 0
    for answer in answers:
        last = {s.slot: s for s in answer.samples if s.label is not None}
        labels = [s.label for s in last.values() if s.label is not None]
        tally = {one: labels.count(one) * weights[one] for one in sorted({*labels})}
        assert answer.forced or answer.tally == tally
        assert {s.answer_logprob for s in last.values()} <= {-0.2, -0.9, None}
        plurality += labels.count("A") > labels.count("B") if len(labels) % 2 else 0
    report = Report.model_validate_json(bench.read(job, "report.json"))
    found = {counted.vote: counted for counted in report.accuracy_by_vote}
    assert report.accuracy is not None
    assert found["confidence"].accuracy == report.accuracy
    assert report.accuracy.correct == sum(answer.answer == "A" for answer in answers)
    assert plurality <= found["plurality"].accuracy.correct < found["confidence"].accuracy.correct
    console = Console(width=120)
    with console.capture() as shown:
        console.print(report_view(report))
    told = shown.get().partition("by way of voting")[2]
    assert re.search(r"confidence .*% .* p = \d", told), told


@pytest.mark.parametrize(("temperature", "weight"), [(0.25, weight_of(-0.9, 0.25)), (math.inf, 1)])
def test_workers_weigh_by_the_temperature_of_start_json(
    bench: Bench, api: httpx2.Client, server: StubServer, temperature: float, weight: float
) -> None:
    """As a calibration may leave it, which has changed since."""
    server.tokens_of = tokens
    server.reply = lambda prompt, seed: "答案是：B"
    job = bench.post(problem_file(2), JobSettings(vote="confidence"))
    bench.store.write_start(job.id, started(temperature))
    bench.start_worker()
    bench.wait(job)
    lines = bench.read(job, "answers.jsonl").splitlines()
    tallies = [Answer.model_validate_json(line).tally for line in lines]
    assert all(tally["B"] in (2 * weight, 3 * weight) for tally in tallies)
    shown = api.get(f"/jobs/{job.id}").json()["start"]["vote_temperature"]
    assert shown == ("Infinity" if math.isinf(temperature) else temperature)
    report = Report.model_validate_json(bench.read(job, "report.json"))
    assert report.provenance.start is not None
    assert report.provenance.start.vote_temperature == temperature
