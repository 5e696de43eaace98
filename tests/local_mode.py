"""Local mode as a user starts it, on the demo's model."""

from __future__ import annotations

import os
import signal
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx2

from orchestrator.local.options import API_PORT

URL = f"http://127.0.0.1:{API_PORT}"
UP_TIMEOUT_S = 900
STARTED_BY = "QUORUM_TEST"  # set in the environment of a command and of everything that it starts
_marks: list[str] = []  # its values for the commands that run now


def quorum(
    root: Path,
    *arguments: str,
    timeout_s: float = 900,
    environment: dict[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    argv = [str(root / ".venv" / "bin" / "quorum"), *arguments]
    return subprocess.run(
        argv, cwd=root, env=environment, capture_output=True, text=True, timeout=timeout_s
    )


@contextmanager
def nothing_left_behind() -> Iterator[dict[str, str]]:
    """An environment for a command. The test fails if a process still has it 20 s later."""
    mark = uuid.uuid4().hex
    _marks.append(mark)
    yield {**os.environ, STARTED_BY: mark}
    deadline = time.monotonic() + 20
    while left := processes("environ", f"{STARTED_BY}={mark}"):
        assert time.monotonic() < deadline, left
        time.sleep(0.1)
    _marks.remove(mark)


def processes(file: str, words: str) -> list[int]:
    """Processes whose `file` in /proc holds `words`, each ended by NUL."""
    found = []
    for entry in Path("/proc").iterdir():
        with suppress(OSError, ValueError):
            if words.encode() in (entry / file).read_bytes():
                found.append(int(entry.name))
    return found


def running(words: str) -> list[int]:
    """Processes started by commands of this module whose command line holds `words`."""
    ours = {pid for mark in _marks for pid in processes("environ", f"{STARTED_BY}={mark}")}
    return [pid for pid in processes("cmdline", words) if pid in ours]


@contextmanager
def local_up(root: Path) -> Iterator[subprocess.Popen[str]]:
    with nothing_left_behind() as environment:
        process = subprocess.Popen(
            [str(root / ".venv" / "bin" / "quorum"), "local", "up"],
            cwd=root,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
                process.wait(60)


def wait_until_ready(process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + UP_TIMEOUT_S
    while True:
        assert process.poll() is None, process.stdout and process.stdout.read()
        assert time.monotonic() < deadline, "the stack did not become ready"
        try:
            if httpx2.get(f"{URL}/readyz").status_code == 200:
                return
        except httpx2.TransportError:
            pass
        time.sleep(1)


class SharedStack:
    """One `quorum local up` for all tests. A test that needs its port ends it first."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._up = local_up(root)
        self._process: subprocess.Popen[str] | None = None
        self._failed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end()

    def ready(self) -> subprocess.Popen[str]:
        assert not self._failed, "it did not become ready for a test before"
        if self._process is None:
            self._up = local_up(self._root)
            self._process = self._up.__enter__()
        self._failed = True
        wait_until_ready(self._process)
        self._failed = False
        return self._process

    def end(self) -> None:
        if self._process is not None:
            self._process = None
            self._up.__exit__(None, None, None)
