"""A job with damaged files is shown as damaged, can be deleted, and holds up no other job."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import httpx2
import pytest

from contract import CONTRACT_FILE
from contracts import make_contract
from orchestrator.jobs.records import JobSettings
from orchestrator.settings import Settings
from problem_files import problem_file
from stub_server import StubServer
from workers import Bench

FILES = ("job.json", "start.json", "end.json", CONTRACT_FILE, "problems.jsonl")


def post(api: httpx2.Client) -> str:
    reply = api.post("/jobs", files={"file": ("f.jsonl", problem_file(1))})
    assert reply.status_code == 202, reply.text
    return str(reply.json()["id"])


def damage(bench: Bench, job_id: str, name: str) -> None:
    path = bench.store.directory(job_id) / name
    if name == "problems.jsonl":
        path.unlink()
    elif name == "job.json":
        path.write_bytes(path.read_bytes()[:50])
    else:
        path.write_bytes(b"\0" * 64)  # as a power failure may leave it


@pytest.mark.parametrize("name", FILES)
def test_a_damaged_job_is_listed_and_can_be_deleted(
    bench: Bench, api: httpx2.Client, name: str
) -> None:
    broken, whole = post(api), post(api)
    damage(bench, broken, name)
    listed = {job["id"]: job for job in api.get("/jobs").json()["data"]}
    assert list(listed) == [whole, broken]
    assert listed[whole]["status"] == "in_progress"
    shown = listed[broken]
    assert shown["status"] == "failed"
    assert name in shown["error"]
    assert ("delete the job" in shown["error"]) == (name != "end.json")
    assert shown["created_at"].startswith("20")
    assert api.get(f"/jobs/{broken}").json() == shown
    for call in ("questions", "figures"):
        assert api.get(f"/jobs/{whole}/{call}").status_code == 200
    reply = api.get("/metrics")
    assert 'quorum_jobs{status="failed"} 1.0' in reply.text
    assert 'quorum_jobs{status="in_progress"} 1.0' in reply.text
    for call in ("cancel", "resume"):
        refused = api.post(f"/jobs/{broken}/{call}")
        assert refused.status_code == 500
        assert name in refused.json()["detail"]
    bench.redis.flushdb()
    assert bench.scheduler.scan() == 1
    assert api.delete(f"/jobs/{broken}").status_code == 200
    assert [job["id"] for job in api.get("/jobs").json()["data"]] == [whole]


def test_a_job_goes_on_once_its_damaged_file_is_put_back(bench: Bench, api: httpx2.Client) -> None:
    job = bench.store.load(post(api))
    path = bench.store.directory(job.id) / "job.json"
    whole = path.read_bytes()
    path.write_bytes(b"")
    bench.start_worker()
    with pytest.raises(AssertionError, match="did not end"):
        bench.wait(job, 2, scan=True)
    path.write_bytes(whole)
    bench.wait(job, scan=True)
    assert api.get(f"/jobs/{job.id}").json()["status"] == "completed"


def test_a_removed_end_file_is_written_again(bench: Bench, api: httpx2.Client) -> None:
    job = bench.store.load(post(api))
    bench.start_worker()
    bench.wait(job)
    submission = bench.read(job, "submission.jsonl")
    end = bench.store.directory(job.id) / "end.json"
    end.write_bytes(b"{}")
    assert "remove that file alone" in api.get(f"/jobs/{job.id}").json()["error"]
    end.unlink()
    bench.wait(job, scan=True)
    assert bench.read(job, "submission.jsonl") == submission


def test_damaged_counts_of_a_done_shard_are_written_again(bench: Bench, api: httpx2.Client) -> None:
    job = bench.store.load(post(api))
    directory = bench.store.directory(job.id)
    bench.start_worker()
    bench.wait(job)
    done = directory / "shards" / "0000.done"
    counts = done.read_bytes()
    done.write_bytes(b"")
    (directory / "end.json").unlink()
    bench.wait(job, scan=True)
    assert done.read_bytes() == counts


@pytest.mark.parametrize("chosen", [{}, {"submission_format": "minimal"}])
def test_a_lost_line_of_a_done_shard_is_answered_again(
    bench: Bench, server: StubServer, chosen: dict[str, Any]
) -> None:
    job = bench.post(problem_file(6), JobSettings(**chosen))
    bench.start_worker()
    bench.wait(job)
    whole, asked = bench.read(job, "submission.jsonl"), len(server.requests)
    journal = bench.store.journal(job.id, 0)
    lines = journal.read_bytes().splitlines(keepends=True)
    lost = next(i for i, line in enumerate(lines) if i and b'"answer":' in line)
    lines[lost] = b"\0" * 40 + b"\n"
    journal.write_bytes(b"".join(lines))
    for name in ("end.json", "submission.jsonl"):
        (bench.store.directory(job.id) / name).unlink()
    bench.wait(job, scan=True)
    assert bench.read(job, "submission.jsonl") == whole
    assert len({json.dumps(body["messages"]) for body in server.requests[asked:]}) == 1


def test_a_job_with_a_damaged_contract_asks_no_server(bench: Bench, settings: Settings) -> None:
    job = bench.post(problem_file(1))
    pinned = bench.store.directory(job.id) / CONTRACT_FILE
    pinned.write_bytes(make_contract("aaa1").dump()[:100])
    bench.start_worker()
    with pytest.raises(AssertionError, match="did not end"):
        bench.wait(job, 2)
    assert not bench.answers(job)


def test_the_command_line_lists_a_damaged_job(
    bench: Bench, api: httpx2.Client, settings: Settings
) -> None:
    broken, whole = post(api), post(api)
    damage(bench, broken, "job.json")

    def quorum(*words: str) -> str:
        argv = [sys.executable, "-m", "orchestrator.cli", "--url", str(api.base_url), *words]
        wide = {**os.environ, "COLUMNS": "250"}
        done = subprocess.run(argv, env=wide, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout.replace("\n", "")

    listed = quorum("list")
    assert broken in listed
    assert whole in listed
    assert "is damaged" in quorum("show", broken)
