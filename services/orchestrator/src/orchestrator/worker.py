"""`python -m orchestrator.worker`: an RQ worker that answers shards, one at a time."""

from __future__ import annotations

from redis import Redis
from rq import Worker
from rq.serializers import JSONSerializer

import orchestrator.shards  # noqa: F401 # imported before forking, so that no shard pays for it
from orchestrator import logs
from orchestrator.queueing import QUEUE
from orchestrator.settings import Settings


def main() -> None:
    logs.configure()
    connection = Redis.from_url(Settings().redis_url)
    Worker([QUEUE], connection=connection, serializer=JSONSerializer).work()


if __name__ == "__main__":
    main()
