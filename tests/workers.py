"""Jobs and queues as the API makes them, and real `python -m orchestrator.worker` processes."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress

from redis import Redis

from orchestrator.coordination.queueing import QUEUES, Scheduler, make_queue
from orchestrator.jobs.records import Answer, JobFile, JobSettings, Sample
from orchestrator.jobs.store import JobStore
from orchestrator.local.guardian import session_members
from orchestrator.settings import Settings


class Bench:
    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.store = JobStore(settings.data_dir)
        self.redis = Redis.from_url(settings.redis_url)
        self.scheduler = Scheduler(self.store, self.redis)
        self.workers: list[subprocess.Popen[bytes]] = []

    def post(self, data: bytes, chosen: JobSettings | None = None) -> JobFile:
        shard = self.settings.shard_questions
        job, _ = self.store.create(io.BytesIO(data), "file.jsonl", chosen or JobSettings(), shard)
        self.scheduler.see_to(job)
        return job

    def queued(self) -> int:
        return sum(len(make_queue(self.redis, name)) for name in QUEUES)

    def answers(self, job: JobFile) -> dict[tuple[str, int], Answer]:
        shards = range(len(job.shards))
        return {key: a for n in shards for key, a in self.store.answers(job, n).items()}

    def environment(self) -> dict[str, str]:
        """The settings as environment variables for a worker."""
        values = self.settings.model_dump(mode="json")
        return {
            key.upper(): json.dumps(value) if isinstance(value, dict) else str(value)
            for key, value in values.items()
            if value is not None
        }

    def drawn(self, job: JobFile) -> list[Sample]:
        """Journaled samples of questions without an answer."""
        records = (self.store.journaled(job, n)[1].values() for n in range(len(job.shards)))
        return [s for of_shard in records for of_one in of_shard for d in of_one for s in d.drawn]

    def start_worker(self) -> subprocess.Popen[bytes]:
        worker = subprocess.Popen(
            [sys.executable, "-m", "orchestrator.worker"],
            env={**os.environ, **self.environment()},
            start_new_session=True,
        )
        self.workers.append(worker)
        return worker

    def stop_workers(self) -> None:
        for worker in self.workers:
            kill_session(worker)
        self.workers.clear()

    def wait(self, job: JobFile, timeout_s: float = 60, *, scan: bool = False) -> None:
        deadline = time.monotonic() + timeout_s
        while self.store.end(job.id) is None:
            assert time.monotonic() < deadline, "the job did not end"
            if scan:
                self.scheduler.scan()
            time.sleep(0.2)

    def wait_for_answers(self, job: JobFile, count: int) -> None:
        deadline = time.monotonic() + 60
        while len(self.answers(job)) < count:
            assert time.monotonic() < deadline, "no answers came"
            time.sleep(0.02)

    def read(self, job: JobFile, name: str) -> bytes:
        return (self.store.directory(job.id) / name).read_bytes()


def kill_session(process: subprocess.Popen[bytes]) -> None:
    """kill -9 a process and everything it forked, such as a worker's work horse."""
    for pid in session_members(process.pid):
        with suppress(ProcessLookupError):  # a work horse may have ended by itself
            os.kill(pid, signal.SIGKILL)
    process.wait()


def until(holds: Callable[[], bool], timeout_s: float = 60) -> None:
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.05)
