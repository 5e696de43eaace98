"""A job's questions, as the page and the API list them."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import httpx2
import pytest
from starlette.responses import JSONResponse

from contract import PromptFormat, extract_label
from orchestrator.jobs import questions
from orchestrator.jobs.questions import LOW_AGREEMENT, QuestionReader
from orchestrator.jobs.rates import RATE_POINTS, rate_points
from orchestrator.jobs.records import Answer, JobFile, JobSettings
from orchestrator_parts import settings_for
from problem_files import problem_file
from stub_server import StubServer
from workers import Bench


@pytest.fixture(scope="module")
def answered(redis_server: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, JobFile]:
    """The folder of an ended job: 120 questions, k = 4 without early stop, with right and wrong
    answers, ties and redraws."""
    server = StubServer()
    server.start()
    bench = Bench(settings_for(server, redis_server, tmp_path_factory.mktemp("answered")))
    bench.redis.flushall()
    job = bench.post(problem_file(60), JobSettings(samples=4, early_stop=False))
    bench.start_worker()
    bench.wait(job)
    bench.stop_workers()
    server.stop()
    return bench.store.directory(job.id), job


@pytest.fixture
def job(bench: Bench, answered: tuple[Path, JobFile]) -> JobFile:
    """A copy of that job."""
    folder, job = answered
    shutil.copytree(folder, bench.settings.data_dir / "jobs" / job.id)
    return job


def ask(api: httpx2.Client, job: JobFile, **query: object) -> httpx2.Response:
    return api.get(f"/jobs/{job.id}/questions", params=query)  # type: ignore[arg-type]


def test_questions_are_paged_in_the_files_order(
    bench: Bench, api: httpx2.Client, job: JobFile
) -> None:
    answers = bench.answers(job)
    rows = []
    for offset in (0, 50, 100):
        page = ask(api, job, offset=offset, limit=50).json()
        assert (page["total"], page["offset"]) == (120, offset)
        rows += page["data"]
    assert [row["position"] for row in rows] == list(range(120))
    assert [(row["id"], row["index"]) for row in rows] == [
        (f"p{n}", index) for n in range(60) for index in range(2)
    ]
    for row in rows:
        answer = answers[row["id"], row["index"]]
        assert (row["answer"], row["key"], row["agreement"]) == (
            answer.answer,
            "A",
            answer.agreement,
        )
        assert (row["flags"], row["state"]) == (list(answer.flags), "answered")


def test_each_filter_works_alone_and_together_with_others(
    bench: Bench, api: httpx2.Client, job: JobFile
) -> None:
    answers = bench.answers(job).values()

    def low(answer: Answer) -> bool:
        return answer.agreement is not None and answer.agreement <= LOW_AGREEMENT

    expected = {
        ("wrong",): sum(a.answer != "A" for a in answers),
        ("right",): sum(a.answer == "A" for a in answers),
        ("tie",): sum("tie" in a.flags for a in answers),
        ("resampled",): sum("resampled" in a.flags for a in answers),
        ("low",): sum(low(a) for a in answers),
        ("wrong", "low"): sum(a.answer != "A" and low(a) for a in answers),
        ("failed",): 0,
        ("open",): 0,
    }
    assert min(expected["wrong",], expected["tie",], expected["wrong", "low"]) > 0
    for show, count in expected.items():
        assert ask(api, job, show=list(show)).json()["total"] == count, show
    labelled = ask(api, job, label="B", limit=500).json()["data"]
    assert {row["answer"] for row in labelled} == {"B"}
    refused = ask(api, job, show="wrogn")
    assert refused.status_code == 422
    assert "'wrong'" in refused.json()["detail"]


def test_text_is_found_in_every_part_of_a_row_ignoring_case(
    api: httpx2.Client, job: JobFile
) -> None:
    for text, count in {"第7题": 2, "问1": 60, "错": 120, "P59": 2, "nowhere": 0, " ": 120}.items():
        assert ask(api, job, text=text).json()["total"] == count, text


def test_questions_can_be_ordered_by_lowest_agreement(api: httpx2.Client, job: JobFile) -> None:
    rows = ask(api, job, order="agreement", limit=500).json()["data"]
    agreements = [row["agreement"] for row in rows]
    assert agreements == sorted(agreements)
    assert agreements[0] < agreements[-1]


def test_a_question_is_shown_whole_with_the_place_of_each_label(
    bench: Bench, api: httpx2.Client, job: JobFile
) -> None:
    detail = api.get(f"/jobs/{job.id}/questions/7").json()
    answer = bench.answers(job)["p3", 1]
    assert (detail["problem"], detail["question"]) == ("第3题", "问1")
    assert detail["options"] == ["对", "错"]
    assert Answer.model_validate(detail["answer"]) == answer
    patterns = PromptFormat().label_patterns
    for sample, place in zip(answer.samples, detail["places"], strict=True):
        if sample.label is None:
            assert place is None
        else:
            assert sample.text[slice(*place)] == sample.label
            assert extract_label(sample.text, detail["options"], patterns) == sample.label
    beyond = api.get(f"/jobs/{job.id}/questions/120")
    assert beyond.status_code == 404
    assert "the job has 120" in beyond.json()["detail"]


def test_figures_of_a_finished_job_equal_its_report(api: httpx2.Client, job: JobFile) -> None:
    figures = api.get(f"/jobs/{job.id}/figures").json()
    report = api.get(f"/jobs/{job.id}/report").json()
    assert figures["sums"] == {name: report[name] for name in figures["sums"]}
    assert figures["sums"]["accuracy"]["total"] == 120


def test_questions_of_a_running_job_are_listed_as_they_end(
    server: StubServer, bench: Bench, api: httpx2.Client
) -> None:
    server.latency_s = 0.3
    job = bench.post(problem_file(20), JobSettings(samples=1))
    assert ask(api, job, show="open").json()["total"] == 40
    assert api.get(f"/jobs/{job.id}/figures").json()["rate"] == []
    bench.start_worker()
    seen: list[int] = []
    while bench.store.end(job.id) is None:
        still_open = ask(api, job, show="open").json()["total"]
        answered = api.get(f"/jobs/{job.id}/figures").json()["sums"]["answered"]
        assert 40 - answered <= still_open
        seen.append(still_open)
        time.sleep(0.05)
    assert seen == sorted(seen, reverse=True)
    assert any(0 < count < 40 for count in seen)
    assert ask(api, job, show="open").json()["total"] == 0


def test_a_resumed_question_shows_its_new_answer(
    server: StubServer, bench: Bench, api: httpx2.Client
) -> None:
    server.fail = lambda body: JSONResponse({"error": "too long"}, 400)
    job = bench.post(problem_file(2))
    bench.start_worker()
    bench.wait(job)
    assert ask(api, job, show="failed").json()["total"] == 4
    row = ask(api, job).json()["data"][0]
    assert (row["state"], row["answer"], row["agreement"]) == ("failed", None, None)
    server.fail = lambda body: None
    server.reply = lambda prompt, seed: "答案是：A"
    assert api.post(f"/jobs/{job.id}/resume").status_code == 202
    bench.wait(job)
    assert ask(api, job, show="failed").json()["total"] == 0
    assert {row["answer"] for row in ask(api, job).json()["data"]} == {"A"}


def test_a_comparison_gives_the_position_of_each_question(
    bench: Bench, api: httpx2.Client, job: JobFile
) -> None:
    bench.start_worker()
    other = bench.post(problem_file(60), JobSettings(samples=1, seed=5))
    waiting = api.get(f"/jobs/{job.id}/comparison", params={"to": other.id})
    if waiting.status_code != 200:  # it may have ended already
        assert waiting.status_code == 409
    bench.wait(other)
    found = api.get(f"/jobs/{job.id}/comparison", params={"to": other.id}).json()
    one, two = bench.answers(job), bench.answers(other)
    changed = [key for key in one if one[key].answer != two[key].answer]
    assert changed
    assert {(c["id"], c["index"]) for c in found["changed"]} == set(changed)
    for change in found["changed"]:
        row = ask(api, other, offset=change["second_position"], limit=1).json()["data"][0]
        assert (row["id"], row["index"]) == (change["id"], change["index"])
        assert row["answer"] == change["second"]


def test_large_indexes_are_not_kept_beside_each_other(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = [bench.post(problem_file(3)) for _ in range(2)]

    def is_kept(limit: int) -> bool:
        """Whether a job's index is still there after another job was read."""
        monkeypatch.setattr(questions, "KEPT_QUESTIONS", limit)
        reader, found = QuestionReader(bench.store), []
        for job in (jobs[0], jobs[1], jobs[0]):
            with reader.read(job) as index:
                found.append(index)
        return found[0] is found[2]

    assert is_kept(12)
    assert not is_kept(11)


def test_rates_add_up_to_the_answers() -> None:
    moments = [100.0 + 0.1 * i for i in range(101)]
    points = rate_points(moments, None)
    assert len(points) == RATE_POINTS
    span_s = 10 / RATE_POINTS
    assert sum(point.questions_per_s for point in points) * span_s == pytest.approx(101, rel=1e-3)
    stalled = rate_points(moments, 120.0)
    assert stalled[-1].questions_per_s == 0
    assert stalled[-1].elapsed_s == pytest.approx(20, abs=1)
    assert rate_points([1.0], None) == rate_points([], None) == rate_points([1.0, 1.0], None) == []
