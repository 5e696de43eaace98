"""The RQ queues: one RQ job per shard, and the scan that enqueues open shards without a worker.

Everything in the queues can be rebuilt from the job directories. If Redis is wiped or a worker
dies, the scan finds the open shards there and enqueues them again. A shard first reads its journal,
so nothing is asked twice.

A job never has more shards queued or running than there are workers. So jobs of one priority take
turns, whatever their size, and a large file takes no longer to accept than a small one.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection
from datetime import UTC, datetime
from typing import Any, NamedTuple, get_args

from redis import Redis
from redis.exceptions import RedisError
from rq import Queue, Worker, get_current_job
from rq.exceptions import NoSuchJobError
from rq.job import Job, JobStatus
from rq.serializers import JSONSerializer

from orchestrator.coordination.heartbeat import count_workers
from orchestrator.coordination.leases import Held, hold_at_once, holder_of, lease_key
from orchestrator.errors import QuorumError
from orchestrator.jobs.finishing import finish
from orchestrator.jobs.records import JobFile, Priority
from orchestrator.jobs.store import JobStore

log = logging.getLogger("quorum")

# Highest priority first: workers look at them in this order.
QUEUES = tuple(f"shards-{priority}" for priority in get_args(Priority))
ANSWER_SHARD = "orchestrator.worker.shards.answer_shard"
FINISHED_TTL_S = 600
FAILED_TTL_S = 86_400
FEWEST_AT_ONCE = 2
# A worker that took a shard needs a moment to fork and take the lease.
UNLEASED_GRACE_S = 6.0
FAILED_GRACE_S = 5.0
WAITING = (JobStatus.QUEUED, JobStatus.DEFERRED, JobStatus.SCHEDULED)


def make_queue(connection: Redis, name: str) -> Queue:
    # JSON, because with pickle anyone who can write to Redis could run code here
    return Queue(name, connection=connection, serializer=JSONSerializer)


def queue_length(connection: Redis, name: str) -> int:
    return make_queue(connection, name).count


def oldest_waiting_s(connection: Redis, name: str) -> float:
    """The time that the first shard of a queue has waited, in seconds; 0 if the queue is empty."""
    for first in make_queue(connection, name).get_jobs(0, 1):
        if first.enqueued_at is not None:
            return (datetime.now(UTC) - first.enqueued_at).total_seconds()
    return 0.0


class ShardJob(Job):
    """A queued shard, for workers.

    RQ calls whatever function, callbacks and web addresses a job in Redis names. With this class a
    worker calls `answer_shard` alone, so whoever can write to Redis cannot run code here.
    """

    def restore(self, raw_data: dict[bytes, bytes]) -> None:
        calls = (b"callback_name", b"webhooks")
        super().restore({key: raw_data[key] for key in raw_data if not key.endswith(calls)})

    @property
    def func(self) -> Callable[..., Any]:
        if self.instance is not None or self.func_name != ANSWER_SHARD:
            raise RefusedCallError(f"{self.func_name!r} is no call of Quorum")
        call: Callable[..., Any] = super().func
        return call


class RefusedCallError(Exception):
    """A job in Redis names another function than `ANSWER_SHARD`."""


def rq_id(job_id: str, shard: int) -> str:
    return f"{job_id}-{shard}"


def finish_alone(connection: Redis, store: JobStore, job: JobFile) -> None:
    """Finish a job unless another process is finishing it. Doing it twice only costs time."""
    key = lease_key(job.id, "finish")
    with hold_at_once(connection, key, store.rows(job.id)) as is_ours:
        if is_ours:
            finish(store, job)


class Idle(NamedTuple):
    """A shard without a worker.

    `grace_s` is the time that it may stay so before it is enqueued again, in seconds. `lost` is the
    reason if its last run did not end well; else None.
    """

    grace_s: float
    lost: str | None


class Scheduler:
    """Enqueues open shards. Remembers since when each shard has been without a worker, and counts
    how often a shard was enqueued again.
    """

    def __init__(self, store: JobStore, connection: Redis) -> None:
        self._store = store
        self.connection = connection
        self.recoveries = 0
        self.faults: dict[str, str] = {}  # errors of the last scan, by job
        self._idle_since: dict[str, float] = {}

    def scan(self) -> int:
        """Check every job that has not ended. Returns the number of shards that were enqueued.

        Raises:
            RedisError: Redis is away. Any other error in one job is logged; the scan continues with
                the rest.
        """
        seen: dict[str, float] = {}
        count, faults = 0, {}
        for job in self._store.open_jobs():
            try:
                count += self.see_to(job, seen)
            except RedisError:
                raise
            except Exception as error:
                said = error.sentence if isinstance(error, QuorumError) else str(error)
                faults[job.id] = said or type(error).__name__
                if faults[job.id] != self.faults.get(job.id):  # only once, not in every scan
                    log.exception("the scan passed over %s and will try it again", job.id)
        self._idle_since, self.faults = seen, faults
        return count

    def see_to(self, job: JobFile, seen: dict[str, float] | None = None) -> int:
        """Enqueue a job's shards that should be running and are not, or finish a cancelled job."""
        open_shards = self._store.open_shards(job)
        if self._store.is_cancelling(job.id):
            if not any(self._holder(job, shard) is Held.ALIVE for shard in open_shards):
                finish_alone(self.connection, self._store, job)
            return 0
        if not open_shards:
            # the last shard's worker finishes the job; if it died, another run of that shard does
            finishing = lease_key(job.id, "finish")
            if holder_of(self.connection, finishing, self._store.rows(job.id)) is Held.ALIVE:
                return 0
            open_shards = [len(job.shards) - 1]
        stalled = self._stalled(job, open_shards, seen if seen is not None else {})
        if stalled:
            self._enqueue(job, stalled)
        return len(stalled)

    def next_free(self, job: JobFile, besides: Collection[int]) -> int | None:
        """The first open shard, `besides` these, that no worker has. It may be queued: a dead
        worker's shards are, and every worker may be at a later one.
        """
        others = (n for n in self._store.open_shards(job) if n not in besides)
        return next((n for n in others if self._holder(job, n) is not Held.ALIVE), None)

    def _stalled(self, job: JobFile, open_shards: list[int], seen: dict[str, float]) -> list[int]:
        """The open shards to enqueue now: no worker has them, and the job may have more shards
        queued.
        """
        room = max(FEWEST_AT_ONCE, count_workers(self.connection))
        stalled: list[int] = []
        for shard in open_shards:
            if room == 0:
                break
            room -= 1
            idle = self._idle(job, shard)
            if idle is None:
                continue
            key = rq_id(job.id, shard)
            seen[key] = self._idle_since.get(key, time.monotonic())
            if time.monotonic() - seen[key] >= idle.grace_s:
                if idle.lost is not None:
                    self.recoveries += 1
                    log.warning("enqueued again, %s: %s, shard %d", idle.lost, job.id, shard)
                stalled.append(shard)
                del seen[key]
        return stalled

    def _holder(self, job: JobFile, shard: int) -> Held:
        journal = self._store.journal(job.id, shard)
        return holder_of(self.connection, lease_key(job.id, shard), journal)

    def _idle(self, job: JobFile, shard: int) -> Idle | None:
        """The state of a shard without a worker. None while it is queued or being answered."""
        holder = self._holder(job, shard)
        if holder is Held.ALIVE:
            return None
        key = rq_id(job.id, shard)
        try:
            found = Job.fetch(key, connection=self.connection, serializer=JSONSerializer)
            status = found.get_status()
        except NoSuchJobError:
            return Idle(0.0, None)
        except ValueError:  # another version of RQ wrote it, or it is damaged
            self.connection.delete(Job.key_for(key))
            return Idle(0.0, "its record in Redis could not be read")
        if status in WAITING:
            queue = make_queue(self.connection, found.origin)
            if self.connection.lpos(queue.key, key) is not None:
                return None
        elif status == JobStatus.FINISHED:  # it made way for other jobs, or waits for its model
            return Idle(0.0, None)
        elif status == JobStatus.FAILED:
            return Idle(FAILED_GRACE_S, "its last run failed")
        if holder is Held.DEAD:
            return Idle(0.0, "its worker died")
        return Idle(UNLEASED_GRACE_S, "nobody is at it")

    def _enqueue(self, job: JobFile, shards: list[int]) -> None:
        make_queue(self.connection, f"shards-{job.settings.priority}").enqueue_many(
            [
                Queue.prepare_data(
                    ANSWER_SHARD,
                    args=(job.id, shard),
                    job_id=rq_id(job.id, shard),
                    timeout=-1,  # none, because it may wait long for its model; it holds a lease
                    result_ttl=FINISHED_TTL_S,
                    failure_ttl=FAILED_TTL_S,
                    description=f"{job.id}, shard {shard}",
                )
                for shard in shards
            ]
        )


def running_worker() -> str | None:
    """The name of the worker that runs this RQ job. Call it in the thread that RQ started."""
    running = get_current_job()
    return running.worker_name if running else None


def is_stopping(connection: Redis, worker: str | None) -> bool:
    """True if a worker was asked to stop. RQ itself would wait until its job ends.

    Raises:
        RedisError: Redis is away.
    """
    if worker is None:
        return False
    key = f"{Worker.redis_worker_namespace_prefix}{worker}"
    return bool(connection.hexists(key, "shutdown_requested_date"))


def others_wait(
    connection: Redis, job: JobFile, *, any_of_same_priority: bool, any_at_all: bool
) -> bool:
    """True if shards of other jobs wait for a worker.

    Jobs of a higher priority always count. `any_of_same_priority` adds those of the same priority,
    `any_at_all` those of a lower one.
    """
    own = QUEUES.index(f"shards-{job.settings.priority}")
    keys = [f"{Queue.redis_queue_namespace_prefix}{name}" for name in QUEUES]
    lower = keys[own + 1 :] if any_at_all else []
    if any(connection.llen(key) for key in (*keys[:own], *lower)):
        return True
    waiting = connection.lrange(keys[own], 0, -1) if any_of_same_priority else []
    return any(job.id not in str(entry) for entry in waiting)
