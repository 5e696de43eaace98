"""The RQ queues: one RQ job a shard, and the scan that enqueues whatever is open and not under way.

Nothing here is the only copy of anything. If Redis is wiped, or a worker dies, the scan finds the
shards that are still open in the job directories and enqueues them again; a shard reads its journal
first, so nothing is asked twice.

Only as many shards of a job are queued or running as there are workers. So jobs of one priority
take turns, whatever their size, and accepting a large file costs no more than a small one.
"""

from __future__ import annotations

import logging
import time
from datetime import UTC, datetime
from typing import get_args

from redis import Redis
from redis.exceptions import RedisError
from rq import Queue, Worker, get_current_job
from rq.exceptions import NoSuchJobError
from rq.job import Job, JobStatus
from rq.serializers import JSONSerializer

from orchestrator.coordination.heartbeat import count_workers
from orchestrator.coordination.leases import lease_key
from orchestrator.jobs.finishing import finish
from orchestrator.jobs.records import JobFile, Priority
from orchestrator.jobs.store import JobStore

log = logging.getLogger("quorum")

# Highest first, which is the order in which workers look at them.
QUEUES = tuple(f"shards-{priority}" for priority in get_args(Priority))
FINISHED_TTL_S = 600
FAILED_TTL_S = 86_400
FEWEST_AT_ONCE = 2
# A worker that has taken a shard needs a moment to fork and take the lease.
UNLEASED_GRACE_S = 15.0
FAILED_GRACE_S = 5.0
FINISH_TTL_S = 120
WAITING = (JobStatus.QUEUED, JobStatus.DEFERRED, JobStatus.SCHEDULED)


def make_queue(connection: Redis, name: str) -> Queue:
    # the JSON serializer, because with pickle whoever can write to Redis can run code here
    return Queue(name, connection=connection, serializer=JSONSerializer)


def queue_length(connection: Redis, name: str) -> int:
    return make_queue(connection, name).count


def oldest_waiting_s(connection: Redis, name: str) -> float:
    """How long the first shard of a queue has waited; 0 for an empty one."""
    for first in make_queue(connection, name).get_jobs(0, 1):
        if first.enqueued_at is not None:
            return (datetime.now(UTC) - first.enqueued_at).total_seconds()
    return 0.0


def rq_id(job_id: str, shard: int) -> str:
    return f"{job_id}-{shard}"


def finish_alone(connection: Redis, store: JobStore, job: JobFile) -> None:
    """Finish a job unless someone is at it. Twice would do no harm, only cost time."""
    key = lease_key(job.id, "finish")
    if connection.set(key, 1, nx=True, ex=FINISH_TTL_S):
        try:
            finish(store, job)
        finally:
            connection.delete(key)


class Scheduler:
    """Enqueues open shards. Keeps since when it has seen each of them without a worker, and counts
    how often one had to be enqueued again."""

    def __init__(self, store: JobStore, connection: Redis) -> None:
        self._store = store
        self.connection = connection
        self.recoveries = 0
        self.faults: dict[str, str] = {}  # why the last scan could not see to a job
        self._idle_since: dict[str, float] = {}

    def scan(self) -> int:
        """See to every job that has not ended; how many shards were enqueued.

        Raises:
            RedisError: it is away. What else one job does to the scan keeps it from no other job.
        """
        seen: dict[str, float] = {}
        count, faults = 0, {}
        for job in self._store.open_jobs():
            try:
                count += self.see_to(job, seen)
            except RedisError:
                raise
            except Exception as error:
                faults[job.id] = str(error) or type(error).__name__
                if faults[job.id] != self.faults.get(job.id):  # once, and not with every scan
                    log.exception("the scan passed over %s and will try it again", job.id)
        self._idle_since, self.faults = seen, faults
        return count

    def has_workers(self) -> bool:
        """Whether any worker was heard of within the last seconds."""
        return count_workers(self.connection) > 0

    def see_to(self, job: JobFile, seen: dict[str, float] | None = None) -> int:
        """Enqueue what of a job should be under way and is not, or bring it to its end."""
        open_shards = self._store.open_shards(job)
        if self._store.is_cancelling(job.id):
            keys = [lease_key(job.id, shard) for shard in open_shards]
            if not keys or not self.connection.exists(*keys):
                finish_alone(self.connection, self._store, job)
            return 0
        if not open_shards:
            # its last shard's worker finishes it, unless it died; a run of a done shard does it
            open_shards = [len(job.shards) - 1]
        stalled = self._stalled(job, open_shards, seen if seen is not None else {})
        if stalled:
            self._enqueue(job, stalled)
        return len(stalled)

    def _stalled(self, job: JobFile, open_shards: list[int], seen: dict[str, float]) -> list[int]:
        """Open shards to be enqueued now: no worker has them, and the job has room for them."""
        room = max(FEWEST_AT_ONCE, count_workers(self.connection))
        stalled: list[int] = []
        for shard in open_shards:
            if room == 0:
                break
            room -= 1
            grace = self._idle_grace_s(job, shard)
            if grace is None:
                continue
            key = rq_id(job.id, shard)
            seen[key] = self._idle_since.get(key, time.monotonic())
            if time.monotonic() - seen[key] >= grace:
                if grace:
                    self.recoveries += 1
                    log.warning("enqueued again, nobody is at it: %s, shard %d", job.id, shard)
                stalled.append(shard)
                del seen[key]
        return stalled

    def _idle_grace_s(self, job: JobFile, shard: int) -> float | None:
        """How long a shard may stay as it is before it is enqueued again.

        None while it is queued or being answered.
        """
        if self.connection.exists(lease_key(job.id, shard)):
            return None
        key = rq_id(job.id, shard)
        try:
            found = Job.fetch(key, connection=self.connection, serializer=JSONSerializer)
        except NoSuchJobError:
            return 0.0
        status = found.get_status()
        if status in WAITING:
            queue = make_queue(self.connection, found.origin)
            return None if self.connection.lpos(queue.key, key) is not None else UNLEASED_GRACE_S
        if status == JobStatus.FINISHED:  # it gave way to others, or waits for its model
            return 0.0
        return FAILED_GRACE_S if status == JobStatus.FAILED else UNLEASED_GRACE_S

    def _enqueue(self, job: JobFile, shards: list[int]) -> None:
        make_queue(self.connection, f"shards-{job.settings.priority}").enqueue_many(
            [
                Queue.prepare_data(
                    "orchestrator.worker.shards.answer_shard",
                    args=(job.id, shard),
                    job_id=rq_id(job.id, shard),
                    timeout=-1,  # it waits for the model as long as that takes; leases show life
                    result_ttl=FINISHED_TTL_S,
                    failure_ttl=FAILED_TTL_S,
                    description=f"{job.id}, shard {shard}",
                )
                for shard in shards
            ]
        )


def running_worker() -> str | None:
    """The name of the worker that runs this RQ job; to be asked in the thread that RQ called."""
    running = get_current_job()
    return running.worker_name if running else None


def is_stopping(connection: Redis, worker: str | None) -> bool:
    """Whether a worker was asked to stop; RQ itself waits for its job to end.

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
    """Whether other jobs' shards wait for a worker.

    Those of a higher priority, with `any_of_same_priority` those of the same one too, and with
    `any_at_all` those of a lower one.
    """
    own = QUEUES.index(f"shards-{job.settings.priority}")
    keys = [f"{Queue.redis_queue_namespace_prefix}{name}" for name in QUEUES]
    lower = keys[own + 1 :] if any_at_all else []
    if any(connection.llen(key) for key in (*keys[:own], *lower)):
        return True
    waiting = connection.lrange(keys[own], 0, -1) if any_of_same_priority else []
    return any(job.id not in str(entry) for entry in waiting)
