"""Leases and the file locks beneath them: who may write a journal, and when a holder is dead."""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis.asyncio
from redis import Redis

from orchestrator.coordination import leases
from orchestrator.coordination.leases import (
    Held,
    LeaseLostError,
    hold_at_once,
    hold_lease,
    holder_of,
)
from orchestrator.jobs.files import write_atomically
from orchestrator.jobs.locks import lockable
from workers import until

KEY = "quorum:lease:job_1:0"

HOLD = """
import asyncio, sys
from pathlib import Path
import redis.asyncio
from orchestrator.coordination.leases import hold_lease

async def main():
    client = redis.asyncio.from_url(sys.argv[1])
    async with hold_lease(client, sys.argv[2], Path(sys.argv[3])):
        print("held", flush=True)
        await asyncio.sleep(600)

asyncio.run(main())
"""


@contextmanager
def holder(redis_url: str, locked: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that holds the lease."""
    argv = [sys.executable, "-c", HOLD, redis_url, KEY, str(locked)]
    process = subprocess.Popen(argv, stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def connection(redis_url: str) -> Iterator[Redis]:
    with Redis.from_url(redis_url) as connection:
        yield connection


@pytest.fixture
def locked(tmp_path: Path) -> Path:
    return tmp_path / "0000.jsonl"


def place(locked: Path) -> str:
    with lockable(locked) as lock:
        return str(lock.place())


def test_a_killed_holders_lease_is_removed_at_once(
    redis_url: str, connection: Redis, locked: Path
) -> None:
    assert holder_of(connection, KEY, locked) is Held.NOBODY
    with holder(redis_url, locked) as process:
        assert holder_of(connection, KEY, locked) is Held.ALIVE
        process.kill()
        process.wait()
        assert holder_of(connection, KEY, locked) is Held.DEAD
        assert holder_of(connection, KEY, locked) is Held.NOBODY


def test_a_halted_holder_does_not_count_as_dead(
    redis_url: str, connection: Redis, locked: Path
) -> None:
    with holder(redis_url, locked) as process:
        os.kill(process.pid, signal.SIGSTOP)
        assert holder_of(connection, KEY, locked) is Held.ALIVE


def test_a_holder_elsewhere_does_not_count_as_dead(connection: Redis, locked: Path) -> None:
    locked.touch()
    host, device, file = place(locked).split(":")
    others = (f"another-host:{device}:{file}", f"{host}:1{device}:{file}", f"{host}:{device}:1")
    for value in ("0123456789abcdef", *(f"0123456789abcdef@{other}" for other in others)):
        connection.set(KEY, value, ex=60)
        assert holder_of(connection, KEY, locked) is Held.ALIVE
    connection.set(KEY, f"0123456789abcdef@{place(locked)}", ex=60)
    assert holder_of(connection, KEY, locked) is Held.DEAD


def test_a_holder_of_a_replaced_file_does_not_count_as_dead(
    redis_url: str, connection: Redis, locked: Path
) -> None:
    """`resume` replaces journals. The new file's lock says nothing about the old one's holder."""
    with holder(redis_url, locked) as process:
        write_atomically(locked, b"")
        assert process.poll() is None
        assert holder_of(connection, KEY, locked) is Held.ALIVE


def test_a_second_holder_waits_for_the_lock_for_a_limited_time(
    redis_url: str, connection: Redis, locked: Path
) -> None:
    order: list[str] = []

    async def hold_second() -> None:
        async with redis.asyncio.from_url(redis_url) as client, hold_lease(client, KEY, locked):
            order.append("second")

    async def hold() -> None:
        async with redis.asyncio.from_url(redis_url) as client, hold_lease(client, KEY, locked):
            with pytest.raises(LeaseLostError, match="held by another worker"):
                await hold_second()
            await client.delete(KEY)  # as if Redis had been wiped
            second = asyncio.create_task(hold_second())
            await asyncio.sleep(0.3)
            order.append("first")
        await second
        async with redis.asyncio.from_url(redis_url) as client, hold_lease(client, KEY, locked):
            await client.delete(KEY)
            async with hold_lease(client, KEY, locked, patience_s=0.2):
                order.append("the halted one was passed by")
                # without the lock, a free lock would prove nothing about this holder
                assert b"@" not in (connection.get(KEY) or b"")

    asyncio.run(hold())
    assert order == ["first", "second", "the halted one was passed by"]


def test_without_file_locks_the_lease_alone_decides(
    redis_url: str, connection: Redis, locked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(descriptor: int, operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)

    async def hold() -> None:
        async with redis.asyncio.from_url(redis_url) as client, hold_lease(client, KEY, locked):
            assert holder_of(connection, KEY, locked) is Held.ALIVE

    asyncio.run(hold())
    assert holder_of(connection, KEY, locked) is Held.NOBODY
    with hold_at_once(connection, KEY, locked) as is_ours:
        assert is_ours
        assert holder_of(connection, KEY, locked) is Held.ALIVE


def test_a_lease_held_at_once_is_renewed_while_it_is_held(
    connection: Redis, locked: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(leases, "RENEW_EVERY_S", 0.1)
    locked.touch()
    with hold_at_once(connection, KEY, locked):
        connection.expire(KEY, 5)
        until(lambda: int(connection.ttl(KEY)) > 5)
    assert connection.get(KEY) is None


def test_only_one_holder_gets_a_lease_at_once(connection: Redis, locked: Path) -> None:
    locked.touch()
    with (
        hold_at_once(connection, KEY, locked) as first,
        hold_at_once(connection, KEY, locked) as second,
    ):
        assert (first, second) == (True, False)
    connection.set(KEY, f"0123456789abcdef@{place(locked)}", ex=60)  # left by a process that died
    with hold_at_once(connection, KEY, locked) as third:
        assert third
    assert connection.get(KEY) is None


HOLD_AT_ONCE = """
import os, sys
from pathlib import Path
from redis import Redis
from orchestrator.coordination.leases import hold_at_once

locked = Path(sys.argv[3])
assert not os.access(locked, os.W_OK)
with Redis.from_url(sys.argv[1]) as connection:
    with hold_at_once(connection, sys.argv[2], locked) as is_ours:
        print(is_ours, connection.get(sys.argv[2]).decode())
"""


def test_a_file_that_may_only_be_read_can_be_locked(redis_url: str, locked: Path) -> None:
    """A job whose posted file was restored as read-only can still end."""
    locked.touch(mode=0o444)
    as_others = ["setpriv", "--bounding-set=-dac_override"] if os.geteuid() == 0 else []
    argv = [*as_others, sys.executable, "-c", HOLD_AT_ONCE, redis_url, KEY, str(locked)]
    said = subprocess.run(argv, check=True, capture_output=True, text=True).stdout.split()
    assert said[0] == "True"
    assert said[1].endswith(f"@{place(locked)}")
