"""A lease on a shard: a Redis key with a short life, renewed while the shard runs.

RQ notices a dead worker after a minute and a half; a lease that is no longer renewed tells within
seconds, and it keeps a second worker off a shard that is being answered. Whoever loses the lease
stops.
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
    """Another worker has the shard, or Redis was away for as long as the lease lives."""


def lease_key(job_id: str, shard: int) -> str:
    return f"quorum:lease:{job_id}:{shard}"


@asynccontextmanager
async def hold_lease(client: redis.asyncio.Redis, key: str) -> AsyncIterator[None]:
    """Hold `key` for the body; the body is cancelled when the lease is lost.

    Raises:
        LeaseLostError: someone else holds it, at the start or later.
    """
    token = secrets.token_hex(8)
    if not await client.set(key, token, nx=True, ex=TTL_S):
        raise LeaseLostError(f"{key} is held by another worker")
    body = asyncio.current_task()
    lost = False

    async def renew() -> None:
        nonlocal lost
        renewed_at = time.monotonic()
        while time.monotonic() - renewed_at < TTL_S:
            await asyncio.sleep(RENEW_EVERY_S)
            try:
                if not await client.eval(_RENEW, 1, key, token, str(TTL_S)):
                    break
                renewed_at = time.monotonic()
            except RedisError:
                continue  # Redis may be restarting; the loop ends when the lease has run out
        lost = True
        if body is not None:
            body.cancel()

    renewing = asyncio.create_task(renew())
    try:
        yield
    except asyncio.CancelledError:
        if lost:
            raise LeaseLostError(f"{key} was lost") from None
        raise
    finally:
        renewing.cancel()
        if not lost:
            with suppress(RedisError):  # then it runs out by itself
                await client.eval(_RELEASE, 1, key, token)
