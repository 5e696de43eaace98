"""Jobs with a pinned calibration: confidence, forecasts, abstention and sets of labels."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import httpx2
import pytest

from calibrated_jobs import answered_job, ended_job, rows, started
from orchestrator.coordination.waiting import read_waits
from orchestrator.jobs.calibration import Calibration
from orchestrator.jobs.calibrations import Calibrations
from orchestrator.jobs.finishing import finish
from orchestrator.jobs.records import Answer, JobFile, JobSettings
from orchestrator.jobs.report_models import Report
from orchestrator.jobs.store import JobStore
from orchestrator.settings import Settings
from problem_files import problem_file
from workers import Bench, until


@pytest.fixture
def store(settings: Settings) -> JobStore:
    return JobStore(settings.data_dir)


@pytest.fixture
def made(store: JobStore, settings: Settings) -> Calibration:
    """Made from a job whose results were written too, by the same answers."""
    return Calibrations(settings.data_dir).make(store, ended_job(store, settings))


def finished(
    store: JobStore, settings: Settings, calibration: Calibration | None, **how: Any
) -> tuple[JobFile, Report]:
    """A job that ended, with the calibration pinned at its start."""
    job = answered_job(store, settings, **{"seed": 8, "keyed": False, **how})
    if calibration is not None:
        store.pin_calibration(job.id, calibration)
    finish(store, job)
    report = (store.directory(job.id) / "report.json").read_bytes()
    return job, Report.model_validate_json(report)


def answers_of(store: JobStore, job: JobFile) -> list[Answer]:
    lines = (store.directory(job.id) / "answers.jsonl").read_bytes().splitlines()
    return [Answer.model_validate_json(line) for line in lines]


def test_every_answer_has_a_confidence(
    store: JobStore, settings: Settings, made: Calibration
) -> None:
    job, report = finished(store, settings, made)
    answers = answers_of(store, job)
    sure = {a.confidence or 0 for a in answers if a.agreement == 1}
    unsure = {a.confidence or 1 for a in answers if a.agreement != 1}
    assert 0.5 < max(unsure) < min(sure) < 1
    assert report.confidence is not None
    assert report.confidence.calibration is not None
    assert report.confidence.calibration.job == made.job
    assert report.confidence.note is None


def test_a_job_without_keys_has_a_forecast_that_holds(
    store: JobStore, settings: Settings, made: Calibration
) -> None:
    _, report = finished(store, settings, made, problems=300)
    _, keyed = finished(store, settings, made, problems=300, keyed=True)
    assert report.accuracy is None
    assert report.confidence is not None
    assert keyed.confidence is not None
    found = report.confidence.forecast
    assert found is not None
    assert keyed.accuracy is not None  # of the same answers
    assert found.low < keyed.accuracy.value < found.high
    assert found.high - found.low < 0.15
    assert keyed.confidence.forecast is None
    assert sum(b.questions for b in keyed.confidence.reliability) == 600
    assert keyed.confidence.coverage[-1].accuracy == pytest.approx(keyed.accuracy.value)
    assert report.confidence.coverage[-1].accuracy is None


def test_without_a_calibration_nothing_stands_in_for_it(
    store: JobStore, settings: Settings
) -> None:
    job, report = finished(store, settings, None)
    assert {a.confidence for a in answers_of(store, job)} == {None}
    found = report.confidence
    assert found is not None
    assert found.calibration is None
    assert found.forecast is None
    assert found.coverage == []
    assert "run quorum calibrate JOB" in (found.note or "")


def test_a_sample_of_questions_to_label_is_proposed(
    store: JobStore, settings: Settings, made: Calibration
) -> None:
    _, report = finished(store, settings, made)
    assert report.confidence is not None
    proposal = report.confidence.label_next
    assert proposal is not None
    assert len(proposal.questions) == 100 == len({(q.id, q.index) for q in proposal.questions})
    assert 0.05 < proposal.half_width < 0.12
    _, keyed = finished(store, settings, made, keyed=True)
    assert keyed.confidence is not None
    assert keyed.confidence.label_next is None


@pytest.mark.parametrize("calibrated", [True, False])
def test_some_keys_give_a_prediction_powered_estimate(
    store: JobStore, settings: Settings, made: Calibration, *, calibrated: bool
) -> None:
    job = answered_job(store, settings, 200, keyed=False, seed=9)
    path = store.journal(job.id, 0)
    found = [Answer.model_validate_json(line) for line in path.read_bytes().splitlines()]
    keyed = [a.model_copy(update={"key": "A"}) if n < 120 else a for n, a in enumerate(found)]
    path.write_text("".join(a.model_dump_json() + "\n" for a in keyed))
    if calibrated:
        store.pin_calibration(job.id, made)
    finish(store, job)
    report = Report.model_validate_json((store.directory(job.id) / "report.json").read_bytes())
    assert report.confidence is not None
    estimate = report.confidence.with_keys
    assert estimate is not None
    assert estimate.keys == 120
    assert estimate.predictor == ("confidence" if calibrated else "agreement")
    truth = sum(a.answer == "A" for a in found) / len(found)
    assert estimate.low < truth < estimate.high


def test_answers_below_the_limit_are_left_out_and_flagged(
    store: JobStore, settings: Settings, made: Calibration
) -> None:
    chosen = JobSettings(abstain_below=0.75, submission_format="minimal")
    job, report = finished(store, settings, made, chosen=chosen)
    answers = answers_of(store, job)
    left = [a for a in answers if "abstained" in a.flags]
    assert left == [a for a in answers if (a.confidence or 0) < 0.75]
    assert 0 < len(left) < len(answers)
    assert all(a.answer for a in left)
    lines = (store.directory(job.id) / "submission.jsonl").read_text().splitlines()
    submitted = [q["answer"] for line in lines for q in json.loads(line)["questions"]]
    assert submitted == [None if a in left else a.answer for a in answers]
    assert report.confidence is not None
    assert report.confidence.abstained == len(left)
    assert report.flags["abstained"] == len(left)


@pytest.mark.parametrize("calibrated", [True, False])
def test_the_last_column_of_a_csv_says_what_it_is(
    store: JobStore, settings: Settings, made: Calibration, *, calibrated: bool
) -> None:
    chosen = JobSettings(submission_format="csv")
    job, _ = finished(store, settings, made if calibrated else None, chosen=chosen)
    text = (store.directory(job.id) / "submission.csv").read_text()
    head, *lines = csv.reader(io.StringIO(text))
    assert head == ["id", "index", "answer", "confidence" if calibrated else "agreement"]
    wanted = [a.confidence if calibrated else a.agreement for a in answers_of(store, job)]
    assert [float(line[3]) for line in lines] == pytest.approx(wanted, abs=1e-6)


def test_sets_of_labels_hold_their_answer(
    store: JobStore, settings: Settings, made: Calibration
) -> None:
    chosen = JobSettings(answer_sets=0.9)
    job, report = finished(store, settings, made, chosen=chosen, keyed=True, problems=300)
    answers = answers_of(store, job)
    assert all(a.answer in (a.labels_set or ()) for a in answers)
    found = report.confidence
    assert found is not None
    assert sum(found.set_sizes.values()) == 600
    assert found.sets_with_key == sum("A" in (a.labels_set or ()) for a in answers)
    assert 0.85 < found.sets_with_key / 600 < 0.95


def test_a_shift_is_told_in_the_report(
    store: JobStore, settings: Settings, made: Calibration
) -> None:
    job = answered_job(store, settings, 150, keyed=False, seed=8)
    path = store.journal(job.id, 0)
    text = path.read_text().replace('"' + "x" * 20 + '"', '"' + "x" * 300 + '"')
    path.write_text(text)
    store.pin_calibration(job.id, made)
    finish(store, job)
    report = Report.model_validate_json((store.directory(job.id) / "report.json").read_bytes())
    assert report.confidence is not None
    (found,) = report.confidence.shifts
    assert (found.of, found.before, found.now, found.distance) == ("length", 20, 300, 1)
    assert "mean 300 characters, there 20" in report.confidence.shift_notes[0]
    _, same = finished(store, settings, made)
    assert same.confidence is not None
    assert same.confidence.shifts == []


def test_questions_are_listed_by_confidence(
    api: httpx2.Client, store: JobStore, settings: Settings, made: Calibration
) -> None:
    chosen = JobSettings(abstain_below=0.75)
    job, _ = finished(store, settings, made, chosen=chosen)
    rows = api.get(f"/jobs/{job.id}/questions", params={"order": "confidence"}).json()["data"]
    values = [row["confidence"] for row in rows]
    assert values == sorted(values)
    first = api.get(f"/jobs/{job.id}/questions/{rows[0]['position']}").json()
    assert first["answer"]["confidence"] == first["row"]["confidence"] == values[0]
    left = api.get(f"/jobs/{job.id}/questions", params={"show": "abstained"}).json()
    assert left["total"] == sum("abstained" in a.flags for a in answers_of(store, job))


@pytest.mark.parametrize("setting", ["abstain_below", "answer_sets"])
def test_a_job_that_needs_a_calibration_is_refused_without_one(
    api: httpx2.Client, store: JobStore, settings: Settings, setting: str
) -> None:
    def post(**more: str) -> httpx2.Response:
        return api.post(
            "/jobs", data={setting: "0.8", **more}, files={"file": ("f.jsonl", rows(3))}
        )

    refused = post()
    assert refused.status_code == 422
    assert f"{setting} needs a calibration" in refused.json()["detail"]
    ended = ended_job(store, settings, start=started(settings, model=settings.model_name))
    Calibrations(settings.data_dir).make(store, ended)
    assert post().status_code == 202
    assert post(samples="5").status_code == 422
    assert post(temperature="0.5").status_code == 202
    assert post(temperature="0.9").status_code == 422
    if setting == "answer_sets":
        assert "leave it out with multiple" in post(multiple="true").json()["detail"]


def test_a_job_is_calibrated_by_one_that_was_asked_alike(bench: Bench) -> None:
    """Asked by a real worker: the first job is calibrated, the second uses that to its end."""
    bench.start_worker()
    first = bench.post(problem_file(110))
    bench.wait(first, 120)
    calibrations = Calibrations(bench.settings.data_dir)
    made = calibrations.make(bench.store, first)
    second = bench.post(problem_file(10, labelled=False), JobSettings(seed=5))
    other = bench.post(problem_file(10, labelled=False), JobSettings(samples=5))
    bench.wait(second)
    bench.wait(other)
    assert bench.store.pinned_calibration(second.id) == made
    assert bench.store.pinned_calibration(other.id) is None
    assert all(a.confidence is not None for a in answers_of(bench.store, second))


def test_a_job_that_lost_its_calibration_waits_for_one(bench: Bench) -> None:
    """Its settings were accepted, and the model was exchanged before it started."""
    job = bench.post(problem_file(2), JobSettings(abstain_below=0.5))
    bench.start_worker()
    reason = _note(bench, job)
    assert "abstain_below needs a calibration" in reason
    assert bench.answers(job) == {}
    assert bench.store.started(job.id) is None


def _note(bench: Bench, job: JobFile) -> str:
    until(lambda: job.id in read_waits(bench.redis))
    return str(read_waits(bench.redis)[job.id])
