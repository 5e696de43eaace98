"""A full volume, at any stage of a job: notes and /readyz say so, and nothing is lost."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path
from typing import NoReturn

import httpx2
import pytest

from orchestrator.api import volume as volume_module
from orchestrator.coordination.heartbeat import beating
from orchestrator.jobs import store
from orchestrator.jobs.records import JobFile
from orchestrator.settings import Settings
from orchestrator.worker.shards import answer_shard
from problem_files import problem_file
from workers import Bench, until


@pytest.fixture
def finalizing(bench: Bench) -> JobFile:
    """A job of which only the results must be written again."""
    job = bench.post(problem_file(2))
    bench.start_worker()
    bench.wait(job)
    bench.stop_workers()
    for name in ("end.json", "answers.jsonl", "submission.jsonl", "report.json"):
        (bench.store.directory(job.id) / name).unlink()
    return job


def full(*_: object) -> NoReturn:
    """Force the fault: no room for one more byte."""
    raise OSError(errno.ENOSPC, "No space left on device")


def note(api: httpx2.Client, job: JobFile) -> str:
    return str(api.get(f"/jobs/{job.id}").json()["note"])


def test_a_note_reports_a_full_volume_while_finalizing(
    bench: Bench,
    api: httpx2.Client,
    settings: Settings,
    finalizing: JobFile,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("data_dir", "redis_url", "inference_url"):
        monkeypatch.setenv(name.upper(), str(getattr(settings, name)))
    monkeypatch.setattr(store, "replacing", full)
    with beating(bench.redis, "a worker"):
        with pytest.raises(OSError, match="No space left"):
            answer_shard(finalizing.id, 0)
        until(lambda: note(api, finalizing).startswith("waiting for room: "), 15)
    assert api.get(f"/jobs/{finalizing.id}").json()["status"] == "finalizing"
    monkeypatch.undo()
    bench.start_worker()
    bench.wait(finalizing, scan=True)
    assert api.get(f"/jobs/{finalizing.id}").json()["status"] == "completed"


def test_a_cancelled_job_that_cannot_be_ended_says_why(
    bench: Bench, api: httpx2.Client, finalizing: JobFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "replacing", full)
    bench.store.cancel(finalizing.id)
    with beating(bench.redis, "a worker"):
        until(lambda: "No space left" in note(api, finalizing), 15)
    assert api.get(f"/jobs/{finalizing.id}").json()["status"] == "cancelling"
    monkeypatch.undo()
    until(lambda: bench.store.has_ended(finalizing.id), 15)


def test_a_volume_that_is_nearly_full_is_not_ready(
    api: httpx2.Client, finalizing: JobFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert api.get("/readyz").json()["volume"] == "ok"
    usage = shutil.disk_usage(Path.cwd())._replace(free=5 << 20)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    reply = api.get("/readyz")
    assert reply.status_code == 503
    assert "has 5 MiB left; delete jobs" in reply.json()["volume"]
    assert note(api, finalizing).startswith("waiting for room: ")


def test_a_volume_that_cannot_be_written_is_not_ready(
    api: httpx2.Client, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(volume_module, "sync", full)
    assert "cannot be written: No space left" in api.get("/readyz").json()["volume"]
    assert not list(settings.data_dir.glob(".writable*"))
