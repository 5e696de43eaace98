"""What jobs wait for, as their workers say it: one Redis key a shard, with a short life.

The API shows it as the job's note.

A worker says it again for as long as it waits, so nothing is lost with the keys.
"""

from __future__ import annotations

import time
from contextlib import suppress

from redis import Redis
from redis.exceptions import RedisError

from orchestrator.replies import writable

KEY = "quorum:waits:"
# Longer than it takes to enqueue a shard again that was put back or failed.
TTL_S = 20
AGAIN_S = 5.0


class Word:
    """What one shard says that it waits for."""

    def __init__(self, connection: Redis, job_id: str, shard: int) -> None:
        self._connection = connection
        self._key = f"{KEY}{job_id}:{shard}"
        self._said: str | None = ""  # what was said before is not known
        self._said_at = 0.0

    def say(self, reason: str | None) -> None:
        """None takes back what was said. Without Redis nothing is said, and the next call will."""
        if reason == self._said and (reason is None or time.monotonic() - self._said_at < AGAIN_S):
            return
        with suppress(RedisError):
            if reason is None:
                self._connection.delete(self._key)
            else:
                self._connection.set(self._key, writable(reason), ex=TTL_S)
            self._said, self._said_at = reason, time.monotonic()


def read_waits(connection: Redis) -> dict[str, str]:
    """For each job that waits, what it waits for: of its lowest shard that does.

    Raises:
        RedisError: Redis is away.
    """
    keys = sorted(_text(key) for key in connection.scan_iter(f"{KEY}*", count=1000))
    reasons = connection.mget(keys) if keys else []
    found: dict[str, str] = {}
    for key, reason in zip(keys, reasons, strict=True):
        if reason is not None:
            found.setdefault(key.removeprefix(KEY).rsplit(":", 1)[0], _text(reason))
    return found


def _text(value: bytes | str) -> str:
    return value if isinstance(value, str) else value.decode()
