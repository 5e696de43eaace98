"""The state of open jobs at the last recovery scan: workers, waits, faults."""

from __future__ import annotations

import asyncio
import time

import structlog

from contract import Sentence
from orchestrator.coordination.connection import CoordinationError, connect
from orchestrator.coordination.heartbeat import count_workers
from orchestrator.coordination.leases import leased_jobs
from orchestrator.coordination.queueing import Scheduler
from orchestrator.coordination.silence import silent_jobs
from orchestrator.coordination.waiting import read_waits
from orchestrator.jobs.records import JobFile
from orchestrator.jobs.store import JobStore
from orchestrator.settings import Settings

log = structlog.get_logger("quorum")

REDIS_TIMEOUT_S = 5.0  # with the pause between two scans, a note is there within 10 s


class WorkWatch:
    """`state` is "ok", or the reason why the last scan failed; `workers` is the number of
    workers that reported; `waits` holds the reasons why jobs
    wait. `at_work` holds the jobs that workers have, `silent` those of them whose worker has not
    been heard of.
    """

    def __init__(self, settings: Settings, store: JobStore) -> None:
        self._store = store
        # nothing here blocks on Redis, so every command may have a limit
        self.scheduler = Scheduler(store, connect(settings.redis_url, REDIS_TIMEOUT_S))
        self.state = "ok"
        self.workers = 1
        self.waits: dict[str, Sentence] = {}
        self.at_work: set[str] = set()
        self.silent: set[str] = set()
        self._idle_since: dict[str, float] = {}

    async def scan(self) -> None:
        """Enqueue open shards that no worker has, and record the workers and waits.

        Raises:
            CoordinationError: Redis is away.
        """
        try:
            await asyncio.to_thread(self._read)
        except CoordinationError as error:
            raise CoordinationError(f"Redis cannot be used: {error}") from error
        self.state = "ok"

    def _read(self) -> None:
        self.scheduler.scan()
        self.workers = count_workers(self.scheduler.connection)
        self.waits = read_waits(self.scheduler.connection)
        self.at_work = leased_jobs(self.scheduler.connection)
        self.silent = silent_jobs(self.scheduler.connection)
        self._idle_since = self._idle_jobs()

    def failed(self, reason: Sentence) -> None:
        self.state = reason

    def see_to(self, job: JobFile) -> None:
        """Enqueue or end a job now, without waiting for the next scan."""
        try:
            self.scheduler.see_to(job)
        except CoordinationError as error:
            log.warning("Redis is away; the scan will see to it", job=job.id, reason=str(error))

    def idle_s(self, job_id: str) -> float:
        """The time since a worker last worked on the job, in seconds."""
        now = time.monotonic()
        return now - self._idle_since.get(job_id, now)

    def _idle_jobs(self) -> dict[str, float]:
        """The time since when each open job has had no worker."""
        now, ended = time.monotonic(), self._store.has_ended
        idle = (job_id for job_id in self._store.ids() if job_id not in self.at_work)
        return {job_id: self._idle_since.get(job_id, now) for job_id in idle if not ended(job_id)}
