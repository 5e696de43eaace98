"""An RQ worker that keeps running while Redis goes away and comes back."""

from __future__ import annotations

import time

import structlog
from redis import Redis
from redis.exceptions import RedisError
from rq import Worker
from rq.serializers import JSONSerializer

from orchestrator.coordination.connection import connect
from orchestrator.coordination.heartbeat import TTL_S, beating
from orchestrator.coordination.queueing import QUEUES, ShardJob

log = structlog.get_logger("quorum")

REDIS_RETRY_S = 2.0


def work(redis_url: str) -> None:
    """Run queued shards, one at a time, until the worker is asked to stop."""
    while True:
        try:
            worker = Worker(
                list(QUEUES),
                connection=Redis.from_url(redis_url),
                serializer=JSONSerializer,
                job_class=ShardJob,
            )
            # a separate connection, because RQ's own is blocked while it waits for work
            with beating(connect(redis_url, TTL_S), worker.name):
                worker.work()
        except RedisError as error:  # ends a worker with a shard; an idle one waits for Redis
            log.error("Redis is away, the worker begins anew", reason=str(error))
            time.sleep(REDIS_RETRY_S)
        else:
            return
