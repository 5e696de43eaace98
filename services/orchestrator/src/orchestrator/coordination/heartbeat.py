"""Workers that are alive: each reports every few seconds and counts as alive for `TTL_S` after
that.

RQ itself still lists a killed worker for minutes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Event, Thread

from redis import Redis
from redis.exceptions import RedisError

# With the rounding to a second and the pause between two scans, a note says within 10 s that no
# worker runs.
TTL_S = 7
BEAT_EVERY_S = 2.0
# A sorted set of worker names, scored by their last report on Redis's own clock.
KEY = "quorum:workers"

_BEAT = """
local now = redis.call('TIME')[1]
redis.call('ZADD', KEYS[1], now, ARGV[1])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - ARGV[2])
"""
_COUNT = """
local now = redis.call('TIME')[1]
return redis.call('ZCOUNT', KEYS[1], now - ARGV[1], now)
"""


def count_workers(connection: Redis) -> int:
    """The number of workers that reported within the last `TTL_S`.

    A report from the future is no report: the clock was set back since.

    Raises:
        RedisError: Redis is away.
    """
    return int(connection.eval(_COUNT, 1, KEY, str(TTL_S)))


@contextmanager
def beating(connection: Redis, name: str) -> Iterator[None]:
    """Report that this worker is alive, from a separate thread, until the block ends."""
    ended = Event()

    def beat() -> None:
        while not ended.is_set():
            with suppress(RedisError):  # Redis may be restarting
                connection.eval(_BEAT, 1, KEY, name, str(TTL_S))
            ended.wait(BEAT_EVERY_S)

    thread = Thread(target=beat, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(timeout=1)
        with suppress(RedisError):
            connection.zrem(KEY, name)
