"""Cancel, resume, delete, priorities and turns, over the API with real workers."""

import io
import json
import shutil
import tempfile
import time
from pathlib import Path

import httpx2
import pytest
from starlette.responses import JSONResponse

from orchestrator.coordination.queueing import Scheduler
from orchestrator.coordination.waiting import read_waits
from orchestrator.jobs.journal import read_journal
from orchestrator.jobs.records import Answer, JobSettings
from orchestrator.jobs.store import JobStore
from orchestrator.settings import Settings
from orchestrator.worker.turns import TURN_S
from problem_files import problem_file
from stub_server import StubServer
from workers import Bench, until


def post(api: httpx2.Client, data: bytes, **form: object) -> str:
    fields = {key: str(value) for key, value in form.items()}
    reply = api.post("/jobs", files={"file": ("my.jsonl", data)}, data=fields)
    assert reply.status_code == 202, reply.text
    job_id: str = reply.json()["id"]
    return job_id


def status(api: httpx2.Client, job_id: str) -> str:
    found: str = api.get(f"/jobs/{job_id}").json()["status"]
    return found


def done(api: httpx2.Client, job_id: str) -> int:
    counts = api.get(f"/jobs/{job_id}").json()["request_counts"]
    return int(counts["completed"] + counts["failed"])


def test_a_cancelled_job_keeps_its_answers_and_can_be_resumed(
    bench: Bench, api: httpx2.Client, server: StubServer
) -> None:
    undisturbed = post(api, problem_file(40))
    bench.start_worker()
    until(lambda: status(api, undisturbed) == "completed")

    job_id = post(api, problem_file(40))
    until(lambda: done(api, job_id) > 10)
    server.latency_s = 30
    until(lambda: server.in_flight > 0)
    reply = api.post(f"/jobs/{job_id}/cancel")
    assert (reply.status_code, reply.json()["status"]) == (202, "cancelling")
    until(lambda: status(api, job_id) == "cancelled", 20)
    until(lambda: server.in_flight == 0, 5)
    assert server.aborted > 0
    counts = api.get(f"/jobs/{job_id}").json()["request_counts"]
    kept = api.get(f"/jobs/{job_id}/answers").text.splitlines()
    assert len(kept) == counts["completed"] + counts["failed"] > 10
    assert api.get(f"/jobs/{job_id}/submission").status_code == 409
    assert api.get(f"/jobs/{job_id}/report").json()["answered"] == counts["completed"]

    server.latency_s = 0
    server.samples.clear()
    assert api.post(f"/jobs/{job_id}/resume").status_code == 202
    until(lambda: status(api, job_id) == "completed")
    seeds = {sample["seed"] for line in kept for sample in json.loads(line)["samples"]}
    assert not seeds & {seed for _, seed in server.samples}
    submissions = [api.get(f"/jobs/{j}/submission").content for j in (undisturbed, job_id)]
    assert submissions[0] == submissions[1]


def test_a_job_can_be_cancelled_without_any_worker(api: httpx2.Client) -> None:
    job_id = post(api, problem_file(2))
    assert api.post(f"/jobs/{job_id}/cancel").json()["status"] == "cancelled"
    assert api.post(f"/jobs/{job_id}/cancel").status_code == 202


def test_a_resumed_job_asks_what_failed_again_and_nothing_else(
    bench: Bench, api: httpx2.Client, server: StubServer
) -> None:
    refusal = JSONResponse({"message": "too long"}, 400)
    server.fail = lambda body: refusal if "第1题" in body["messages"][-1]["content"] else None
    job_id = post(api, problem_file(20, 1))
    bench.start_worker()
    until(lambda: status(api, job_id) == "failed")
    assert api.get(f"/jobs/{job_id}").json()["request_counts"]["failed"] == 1
    server.fail = lambda body: None
    server.requests.clear()
    api.post(f"/jobs/{job_id}/resume")
    until(lambda: status(api, job_id) == "completed")
    assert {"第1题" in body["messages"][-1]["content"] for body in server.requests} == {True}
    assert api.get(f"/jobs/{job_id}/errors").text == ""
    reply = api.post(f"/jobs/{job_id}/resume")
    assert (reply.status_code, "nothing is left" in reply.json()["detail"]) == (409, True)


def test_only_an_ended_job_can_be_deleted(api: httpx2.Client, settings: Settings) -> None:
    job_id = post(api, problem_file(2))
    refused = api.delete(f"/jobs/{job_id}")
    assert (refused.status_code, "cancel it first" in refused.json()["detail"]) == (409, True)
    api.post(f"/jobs/{job_id}/cancel")
    assert api.delete(f"/jobs/{job_id}").json() == {"id": job_id, "object": "job", "deleted": True}
    assert api.get(f"/jobs/{job_id}").status_code == 404
    assert not [path for path in settings.data_dir.rglob("*") if job_id in path.name]


def test_an_urgent_job_is_not_stuck_behind_a_large_one(
    bench: Bench, api: httpx2.Client, server: StubServer
) -> None:
    bench.settings = bench.settings.model_copy(update={"shard_questions": 2048})
    server.latency_s = 0.2
    large, _ = bench.store.create(
        io.BytesIO(problem_file(600)), "large", JobSettings(priority="low"), 2048
    )
    bench.scheduler.see_to(large)
    bench.start_worker()
    bench.wait_for_answers(large, 4)
    urgent = post(api, problem_file(2), priority="high")
    until(lambda: status(api, urgent) == "completed", 20)
    assert done(api, large.id) < 400
    before = done(api, large.id)
    until(lambda: done(api, large.id) > before, 20)


def test_jobs_of_one_priority_take_turns(
    bench: Bench, api: httpx2.Client, server: StubServer
) -> None:
    server.latency_s = 0.25
    large, _ = bench.store.create(io.BytesIO(problem_file(2000)), "large", JobSettings(), 4096)
    bench.scheduler.see_to(large)
    bench.start_worker()
    bench.wait_for_answers(large, 4)
    small = post(api, problem_file(2))
    until(lambda: "for its turn" in (api.get(f"/jobs/{small}").json()["note"] or ""), TURN_S)
    until(lambda: status(api, small) == "completed", TURN_S + 20)
    assert status(api, large.id) == "in_progress"


def test_a_job_has_no_more_shards_enqueued_than_workers(bench: Bench, settings: Settings) -> None:
    job = bench.post(problem_file(100))
    assert len(job.shards) == 25
    assert bench.queued() == 2
    assert bench.scheduler.scan() == 0


def test_a_stopped_worker_ends_within_seconds_and_loses_nothing(
    bench: Bench, server: StubServer
) -> None:
    server.latency_s = 0.3
    job = bench.post(problem_file(60))
    worker = bench.start_worker()
    bench.wait_for_answers(job, 4)
    worker.terminate()
    assert worker.wait(20) == 0
    assert server.in_flight == 0
    before = bench.answers(job)
    assert 4 <= len(before) < 120
    server.latency_s = 0
    bench.start_worker()
    bench.wait(job, scan=True)
    after = bench.answers(job)
    assert len(after) == 120
    assert all(after[key] == answer for key, answer in before.items())


@pytest.mark.parametrize("begun", [False, True])
def test_a_stopping_worker_does_not_wait_for_an_absent_server(
    bench: Bench, server: StubServer, begun: bool
) -> None:
    """A stop leaves 40 seconds for replies, but not if no reply can come."""
    server.latency_s = 120
    if not begun:
        server.stop()
    bench.post(problem_file(60))
    worker = bench.start_worker()
    until(lambda: server.in_flight == 4 if begun else bool(read_waits(bench.redis)), 60)
    if begun:
        server.stop()
    stopped_at = time.monotonic()
    worker.terminate()
    assert worker.wait(60) == 0
    assert time.monotonic() - stopped_at < 25


def test_a_posted_file_is_spooled_on_the_data_volume(
    api: httpx2.Client, settings: Settings
) -> None:
    """The API runs in this process, so its temporary files are this process's."""
    assert Path(tempfile.gettempdir()) == settings.data_dir / "uploads"


def test_a_job_moves_with_its_directory_alone(
    bench: Bench, server: StubServer, settings: Settings, tmp_path: Path
) -> None:
    whole = bench.post(problem_file(30))
    bench.start_worker()
    bench.wait(whole)
    server.latency_s = 0.05
    job = bench.post(problem_file(30))
    bench.wait_for_answers(job, 10)
    bench.stop_workers()

    elsewhere = tmp_path / "elsewhere"
    shutil.move(bench.store.directory(job.id), elsewhere / "jobs" / job.id)
    bench.redis.flushall()
    server.latency_s = 0
    server.samples.clear()
    moved = Bench(settings.model_copy(update={"data_dir": elsewhere}))
    before = moved.answers(job)
    moved.start_worker()
    moved.wait(job, scan=True)
    moved.stop_workers()
    assert moved.read(job, "submission.jsonl") == bench.read(whole, "submission.jsonl")
    asked = {seed for _, seed in server.samples}
    assert not asked & {sample.seed for answer in before.values() for sample in answer.samples}


def test_a_shard_ends_with_a_whole_problem(tmp_path: Path) -> None:
    store = JobStore(tmp_path)
    data = b"\xef\xbb\xbf" + problem_file(7, 3).replace(b"\n", b"\r\n\n")
    job, _ = store.create(io.BytesIO(data), "f", JobSettings(), 7)
    assert [(place.problems, place.questions) for place in job.shards] == [(3, 9), (3, 9), (1, 3)]
    keys = [asked.key for shard in range(3) for asked in store.shard(job, shard)]
    assert keys == [(f"p{i}", j) for i in range(7) for j in range(3)]


def test_rows_without_an_id_keep_their_line_number_across_shards(tmp_path: Path) -> None:
    store = JobStore(tmp_path)
    row = b'{"problem": "p", "questions": [{"question": "q", "options": ["x"]}]}\n'
    job, _ = store.create(io.BytesIO(row * 4), "f", JobSettings(), 2)
    assert [asked.key for asked in store.shard(job, 1)] == [("3", 0), ("4", 0)]


def test_a_job_that_cannot_be_ended_does_not_hold_up_the_others(bench: Bench) -> None:
    stuck = bench.post(problem_file(1))
    bench.store.cancel(stuck.id)
    (bench.store.directory(stuck.id) / "problems.jsonl").unlink()
    bench.redis.flushdb()
    job = bench.post(problem_file(1))
    bench.redis.flushdb()
    bench.start_worker()
    bench.wait(job, scan=True)
    assert bench.store.end(stuck.id) is None


def test_a_damaged_job_does_not_hold_up_the_others(bench: Bench) -> None:
    broken = bench.post(problem_file(1))
    (bench.store.directory(broken.id) / "job.json").write_bytes(b"{")
    job, _ = bench.store.create(io.BytesIO(problem_file(1)), "f", JobSettings(), 8)
    assert Scheduler(bench.store, bench.redis).scan() == 1
    bench.start_worker()
    bench.wait(job)
    lines = list(read_journal(bench.store.journal(job.id, 0)))
    assert sum(isinstance(record, Answer) for record in lines) == 2
