"""A lease on a shard: a Redis key with a short life, renewed while the shard runs.

RQ notices a dead worker after a minute and a half. A lease that is no longer renewed expires within
seconds. It also keeps a second worker from a shard that is being answered. A worker that loses its
lease stops. A worker that was paused with its machine notices the loss before it writes anything.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import redis.asyncio
from redis.exceptions import RedisError

TTL_S = 20
RENEW_EVERY_S = 4

_IF_OURS = "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call({}) end return 0"
_RENEW = _IF_OURS.format("'expire', KEYS[1], ARGV[2]")
_RELEASE = _IF_OURS.format("'del', KEYS[1]")


class LeaseLostError(Exception):
    """Another worker has the shard, or Redis was away for longer than the lease lasts."""


def lease_key(job_id: str, part: int | str) -> str:
    """The key of the lease on a shard, or on another part of a job's work."""
    return f"quorum:lease:{job_id}:{part}"


def leased_jobs(connection: redis.Redis) -> set[str]:
    """The jobs that workers are working on.

    Raises:
        RedisError: Redis is away.
    """
    keys = connection.scan_iter(lease_key("*", "*"), count=1000)
    return {(key if isinstance(key, str) else key.decode()).split(":")[2] for key in keys}


def _clock_s() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)  # it also runs while the machine is suspended


class Lease:
    """A held lease. Guaranteed ours for `TTL_S` after the last renewal started."""

    def __init__(self, key: str, renewed_at_s: float) -> None:
        self.key = key
        self.lost = False
        self._renewed_at_s = renewed_at_s

    def renewed(self, at_s: float) -> None:
        self._renewed_at_s = at_s

    def check(self) -> None:
        """Raises LeaseLostError if another worker may hold the lease by now."""
        if self.lost or _clock_s() - self._renewed_at_s >= TTL_S:
            raise LeaseLostError(f"{self.key} was lost")


@asynccontextmanager
async def hold_lease(client: redis.asyncio.Redis, key: str) -> AsyncIterator[Lease]:
    """Hold the lease `key` during the body. The body is cancelled if the lease is lost.

    Raises:
        LeaseLostError: another worker holds it, at the start or later.
    """
    token = secrets.token_hex(8)
    lease = Lease(key, _clock_s())
    if not await client.set(key, token, nx=True, ex=TTL_S):
        raise LeaseLostError(f"{key} is held by another worker")
    body = asyncio.current_task()

    async def renew() -> None:
        with suppress(LeaseLostError):
            while True:
                await asyncio.sleep(RENEW_EVERY_S)
                lease.check()
                began = _clock_s()
                try:
                    if not await client.eval(_RENEW, 1, key, token, str(TTL_S)):
                        break
                    lease.renewed(began)
                except RedisError:
                    continue  # Redis may be restarting; once the lease expires, check() ends this
        lease.lost = True
        if body is not None:
            body.cancel()

    renewing = asyncio.create_task(renew())
    try:
        yield lease
    except asyncio.CancelledError:
        if lease.lost:
            raise LeaseLostError(f"{key} was lost") from None
        raise
    finally:
        renewing.cancel()
        if not lease.lost:
            with suppress(RedisError):  # then the lease expires by itself
                await client.eval(_RELEASE, 1, key, token)
