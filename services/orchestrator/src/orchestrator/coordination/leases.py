"""A lease on a shard: a Redis key with a short life, renewed while the shard runs.

RQ notices a dead worker after a minute and a half. A lease that is no longer renewed expires within
seconds. It also keeps a second worker from a shard that is being answered. A worker that loses its
lease stops. A worker that was paused with its machine notices the loss before it writes anything.

A holder also locks the shard's journal, and writes into the lease which file it has locked on which
host. If that file is here and its lock is free, the holder is dead, and its lease is removed at
once.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from enum import Enum
from pathlib import Path
from threading import Event, Thread

import redis.asyncio
from redis.exceptions import RedisError

from orchestrator.jobs.locks import FileLock, NoLocksError, is_free, lockable

log = logging.getLogger("quorum")

TTL_S = 20
RENEW_EVERY_S = 4

# A lease's value is its holder's token; once the holder has the lock, "@" and its place follow.
_IF_OURS = """
local value = redis.call('get', KEYS[1])
if value and string.sub(value, 1, string.len(ARGV[1])) == ARGV[1] then
  return redis.call({})
end
return 0
"""
_RENEW = _IF_OURS.format("'expire', KEYS[1], ARGV[2]")
_NAME_PLACE = _IF_OURS.format("'append', KEYS[1], ARGV[2]")
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


class Held(Enum):
    """Who holds a lease."""

    NOBODY = "nobody"
    DEAD = "a process of this host that has died; its lease was removed"
    ALIVE = "a process that is alive, or that is not known to be dead"


def holder_of(connection: redis.Redis, key: str, locked: Path) -> Held:
    """Find out if the holder of a lease is alive. `locked` is the file that a holder locks.

    Raises:
        RedisError: Redis is away.
    """
    found = connection.get(key)
    if found is None:
        return Held.NOBODY
    value = found if isinstance(found, str) else found.decode()
    place = value.partition("@")[2]
    if not place or not is_free(locked, place):
        return Held.ALIVE
    connection.eval(_RELEASE, 1, key, value)
    return Held.DEAD


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


@contextmanager
def hold_at_once(connection: redis.Redis, key: str, locked: Path) -> Iterator[bool]:
    """Hold the lease `key` and a lock on the file `locked` during the body. Yields False if another
    process holds it. Another thread renews the lease, because the body may be busy.

    Raises:
        RedisError: Redis is away.
    """
    if holder_of(connection, key, locked) is Held.ALIVE:
        yield False
        return
    with lockable(locked) as lock:
        try:
            place = lock.place() if lock.take_now() else None
        except NoLocksError:
            place = None
        value = secrets.token_hex(8) + (f"@{place}" if place else "")
        if not connection.set(key, value, nx=True, ex=TTL_S):
            yield False
            return
        ended = Event()

        def renew() -> None:
            while not ended.wait(RENEW_EVERY_S):
                with suppress(RedisError):  # Redis may be restarting
                    connection.eval(_RENEW, 1, key, value, str(TTL_S))

        renewing = Thread(target=renew, name="lease", daemon=True)
        renewing.start()
        try:
            yield True
        finally:
            ended.set()
            renewing.join()
            connection.eval(_RELEASE, 1, key, value)


@asynccontextmanager
async def hold_lease(
    client: redis.asyncio.Redis, key: str, locked: Path, patience_s: float = TTL_S
) -> AsyncIterator[Lease]:
    """Hold the lease `key` and a lock on the file `locked` during the body. The body is cancelled
    if the lease is lost.

    Another process may still have the lock: if Redis was wiped, that process notices the loss of
    its lease at the next renewal. It is waited for, up to `patience_s`. By then any earlier lease
    has expired. A process that has the lock even then is paused, and writes nothing when it
    resumes.

    Raises:
        LeaseLostError: another worker holds it, at the start or later.
    """
    with lockable(locked, make=True) as lock:
        token = secrets.token_hex(8)
        lease = Lease(key, _clock_s())
        if not await client.set(key, token, nx=True, ex=TTL_S):
            raise LeaseLostError(f"{key} is held by another worker")
        renewing = asyncio.create_task(_renew(client, lease, token, asyncio.current_task()))
        try:
            await _lock(client, lease, token, lock, patience_s)
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


async def _renew(
    client: redis.asyncio.Redis, lease: Lease, token: str, body: asyncio.Task[object] | None
) -> None:
    """Renew the lease until it is lost; then cancel `body`."""
    with suppress(LeaseLostError):
        while True:
            await asyncio.sleep(RENEW_EVERY_S)
            lease.check()
            began = _clock_s()
            try:
                if not await client.eval(_RENEW, 1, lease.key, token, str(TTL_S)):
                    break
                lease.renewed(began)
            except RedisError:
                continue  # Redis may be restarting; once the lease expires, check() ends this
    lease.lost = True
    if body is not None:
        body.cancel()


async def _lock(
    client: redis.asyncio.Redis, lease: Lease, token: str, lock: FileLock, patience_s: float
) -> None:
    """Take the lock, and then name its place in the lease."""
    try:
        is_locked = await lock.take(patience_s)
    except NoLocksError as error:
        log.warning("%s, so the lease alone must do", error)
        return
    if is_locked and (place := lock.place()):
        await client.eval(_NAME_PLACE, 1, lease.key, token, f"@{place}")
