"""`python -m orchestrator.worker`: an RQ worker that answers shards, one at a time."""

from __future__ import annotations

import time

import structlog
from redis import Redis
from redis.exceptions import RedisError
from rq import Worker
from rq.serializers import JSONSerializer

import orchestrator.worker.shards  # noqa: F401 # imported before forking, so that no shard pays for it
from contract.settings import read_settings
from orchestrator import logs
from orchestrator.coordination.heartbeat import TTL_S, beating
from orchestrator.coordination.queueing import QUEUES
from orchestrator.settings import Settings

log = structlog.get_logger("quorum")

REDIS_RETRY_S = 2.0


def main() -> None:
    settings = read_settings(Settings)
    logs.configure(settings.log_format)
    while True:
        try:
            connection = Redis.from_url(settings.redis_url)
            worker = Worker(list(QUEUES), connection=connection, serializer=JSONSerializer)
            # a connection of its own, because RQ's waits for work most of the time
            with beating(Redis.from_url(settings.redis_url, socket_timeout=TTL_S), worker.name):
                worker.work()
        except RedisError as error:  # RQ outlives its absence while idle, but not during a shard
            log.error("Redis is away, the worker begins anew", reason=str(error))
            time.sleep(REDIS_RETRY_S)
        else:
            return


if __name__ == "__main__":
    main()
