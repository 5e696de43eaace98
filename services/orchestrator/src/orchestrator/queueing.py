"""The RQ queue: one RQ job a shard, and the scan that enqueues whatever is unanswered and not under
way.

Nothing here is the only copy of anything. If Redis is wiped, or a worker dies, the scan finds the
shards that are still open in the job directories and enqueues them again; a shard reads its journal
first, so nothing is asked twice.
"""

from __future__ import annotations

import logging
import time

from redis import Redis
from rq import Queue
from rq.exceptions import NoSuchJobError
from rq.job import Job, JobStatus
from rq.serializers import JSONSerializer

from orchestrator.finishing import finish_if_complete
from orchestrator.leases import lease_key
from orchestrator.progress import ProgressReader
from orchestrator.records import JobFile
from orchestrator.store import JobStore

log = logging.getLogger("quorum")

QUEUE = "shards"
FINISHED_TTL_S = 600
FAILED_TTL_S = 86_400
# A worker that has taken a shard needs a moment to fork and take the lease.
UNLEASED_GRACE_S = 15.0


def make_queue(connection: Redis) -> Queue:
    # the JSON serializer, because with pickle whoever can write to Redis can run code here
    return Queue(QUEUE, connection=connection, serializer=JSONSerializer)


def enqueue(queue: Queue, job: JobFile, shards: list[int]) -> None:
    queue.enqueue_many(
        [
            Queue.prepare_data(
                "orchestrator.shards.answer_shard",
                args=(job.id, shard),
                job_id=rq_id(job.id, shard),
                timeout=-1,  # it waits for the model as long as that takes; the lease shows life
                result_ttl=FINISHED_TTL_S,
                failure_ttl=FAILED_TTL_S,
                description=f"{job.id}, shard {shard}",
            )
            for shard in shards
        ]
    )


def rq_id(job_id: str, shard: int) -> str:
    return f"{job_id}-{shard}"


class Recovery:
    """Finds shards that no one is working on. Keeps only when it first saw each of them so."""

    def __init__(self, store: JobStore, progress: ProgressReader, queue: Queue) -> None:
        self._store = store
        self._progress = progress
        self._queue = queue
        self._idle_since: dict[str, float] = {}

    def scan(self) -> int:
        """Enqueue every open shard that is neither queued nor leased; how many there were."""
        lost: dict[str, float] = {}
        count = 0
        for job_id in self._store.ids():
            if self._store.end(job_id) is not None:
                continue
            job = self._store.load(job_id)
            answered = self._progress.read(job).answered
            sizes = [
                min(job.shard_questions, job.questions - s * job.shard_questions)
                for s in range(job.shards)
            ]
            open_shards = [shard for shard in range(job.shards) if answered[shard] < sizes[shard]]
            if not open_shards:
                finish_if_complete(self._store, job)
                continue
            stalled = []
            for shard in open_shards:
                grace = self._idle_grace_s(job_id, shard)
                if grace is None:
                    continue
                key = rq_id(job_id, shard)
                lost[key] = self._idle_since.get(key, time.monotonic())
                if time.monotonic() - lost[key] >= grace:
                    stalled.append(shard)
                    del lost[key]
            if stalled:
                log.warning("%s: enqueueing shards that no worker has: %s", job_id, stalled)
                enqueue(self._queue, job, stalled)
                count += len(stalled)
        self._idle_since = lost
        return count

    def _idle_grace_s(self, job_id: str, shard: int) -> float | None:
        """How long a shard may stay as it is before it is enqueued again.

        None while it is queued or being answered.
        """
        if self._queue.connection.exists(lease_key(job_id, shard)):
            return None
        try:
            status = Job.fetch(
                rq_id(job_id, shard), connection=self._queue.connection, serializer=JSONSerializer
            )
        except NoSuchJobError:
            return 0.0
        if status.get_status() in (JobStatus.QUEUED, JobStatus.DEFERRED, JobStatus.SCHEDULED):
            in_queue = (
                self._queue.connection.lpos(self._queue.key, rq_id(job_id, shard)) is not None
            )
            return None if in_queue else UNLEASED_GRACE_S
        return UNLEASED_GRACE_S
