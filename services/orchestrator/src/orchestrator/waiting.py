"""What jobs wait for, as their workers say it: one Redis key a shard, with a short life.

A worker says it again for as long as it waits, so nothing is lost with the keys.
"""

from __future__ import annotations

from redis import Redis

KEY = "quorum:waits:"
# Longer than it takes to enqueue a shard again that was put back or failed.
TTL_S = 20


def say_wait(connection: Redis, job_id: str, shard: int, reason: str | None) -> None:
    """Say what a shard waits for; None takes back what was said.

    Raises:
        RedisError: Redis is away.
    """
    key = f"{KEY}{job_id}:{shard}"
    if reason is None:
        connection.delete(key)
    else:
        connection.set(key, reason, ex=TTL_S)


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
