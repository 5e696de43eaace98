"""Counts a shard's turns in a row without an answer: in Redis, across all its workers."""

from __future__ import annotations

from contextlib import suppress

from redis import Redis
from redis.exceptions import RedisError

KEY = "quorum:fruitless:"
TTL_S = 3600


class FruitlessTurns:
    """The count of one shard. While Redis is away, it reads as 0 and nothing is counted."""

    def __init__(self, connection: Redis, job_id: str, shard: int) -> None:
        self._connection = connection
        self._key = f"{KEY}{job_id}:{shard}"

    def count(self) -> int:
        with suppress(RedisError):
            return int(self._connection.get(self._key) or 0)
        return 0

    def note(self, *, answered: bool) -> None:
        """Count a turn that ended. A turn with an answer resets the count to 0."""
        with suppress(RedisError):
            if answered:
                self._connection.delete(self._key)
            else:
                self._connection.incr(self._key)
                self._connection.expire(self._key, TTL_S)
