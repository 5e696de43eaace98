"""start.json, to which several workers may add what an endpoint refuses."""

from __future__ import annotations

import errno
import fcntl
import io
import subprocess
import sys
import time
from pathlib import Path

import pytest

import orchestrator.jobs.store
from orchestrator.jobs.locks import lockable
from orchestrator.jobs.records import Adapted, JobSettings, StartFile
from orchestrator.jobs.store import JobStore
from problem_files import problem_file

EACH = 25
# One worker that learns one parameter after another, once a line says that both are ready.
WORKER = """
import sys
from pathlib import Path
from orchestrator.jobs.records import Adapted
from orchestrator.jobs.store import JobStore
folder, job, name, count = sys.argv[1:]
store = JobStore(Path(folder))
print("ready", flush=True)
sys.stdin.readline()
for number in range(int(count)):
    entry = Adapted(parameter=f"{name}{number}", url="http://x/", note="left out")
    store.add_adapted(job, [entry])
"""


def started_job(folder: Path) -> tuple[JobStore, str]:
    store = JobStore(folder)
    job, _ = store.create(io.BytesIO(problem_file(1)), "p.jsonl", JobSettings(), 10)
    start = StartFile(
        started_at="now",
        model="m",
        digest=None,
        temperature=1,
        top_p=1,
        max_tokens=9,
        versions={},
    )
    store.write_start(job.id, start)
    return store, job.id


def known(store: JobStore, job: str) -> list[str]:
    start = store.started(job)
    assert start is not None
    return [entry.parameter for entry in start.adapted]


def entry(name: str) -> Adapted:
    return Adapted(parameter=name, url="http://x/", note="left out")


def test_what_two_workers_learn_at_once_both_stays(tmp_path: Path) -> None:
    store, job = started_job(tmp_path)
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", WORKER, str(tmp_path), job, name, str(EACH)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in ("a", "b")
    ]
    for worker in workers:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write("go\n")
        worker.stdin.flush()
    assert [worker.communicate(timeout=120)[0] for worker in workers] == ["", ""]
    assert [worker.returncode for worker in workers] == [0, 0]
    assert sorted(known(store, job)) == sorted(f"{n}{i}" for n in "ab" for i in range(EACH))


def test_what_is_known_is_not_written_again(tmp_path: Path) -> None:
    store, job = started_job(tmp_path)
    store.add_adapted(job, [entry("seed")])
    before = (store.directory(job) / "start.json").stat().st_ino
    store.add_adapted(job, [entry("seed")])
    assert (store.directory(job) / "start.json").stat().st_ino == before
    assert known(store, job) == ["seed"]


def test_a_lock_that_is_never_freed_ends_the_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A paused worker holds it. What was learned is added again at the end of the shard."""
    monkeypatch.setattr(orchestrator.jobs.store, "LOCK_PATIENCE_S", 0.05)
    store, job = started_job(tmp_path)
    began = time.monotonic()
    with lockable(store.directory(job) / "job.json") as lock:
        assert lock.take_now()
        with pytest.raises(TimeoutError, match=r"another process holds the lock on .*job\.json"):
            store.add_adapted(job, [entry("seed")])
    assert time.monotonic() - began < 10
    assert known(store, job) == []
    store.add_adapted(job, [entry("seed")])
    assert known(store, job) == ["seed"]


def test_a_volume_without_locks_takes_additions_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    store, job = started_job(tmp_path)
    monkeypatch.setattr(fcntl, "flock", refuse)
    store.add_adapted(job, [entry("seed")])
    assert known(store, job) == ["seed"]
