"""Child processes with a log each, all of them ended when the stack is left."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

STOP_GRACE_S = 15.0
POLL_S = 0.2
TAIL_LINES = 20


class StepError(Exception):
    """A step failed: which one, why, and its log."""

    def __init__(self, step: str, reason: str, log: Path | None = None) -> None:
        super().__init__(f"{step}: {reason}")
        self.step = step
        self.reason = reason
        self.log = log

    def log_tail(self) -> str:
        if self.log is None or not self.log.is_file():
            return ""
        return "\n".join(
            self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-TAIL_LINES:]
        )


@dataclass(frozen=True)
class Child:
    name: str
    log: Path
    process: subprocess.Popen[bytes]


class Processes:
    """Starts children in sessions of their own.

    Leaving the context ends every one, newest first.
    """

    def __init__(self, log_dir: Path) -> None:
        self._log_dir = log_dir
        self.children: list[Child] = []
        log_dir.mkdir(parents=True, exist_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for child in reversed(self.children):
            _signal(child.process, signal.SIGTERM)
        deadline = time.monotonic() + STOP_GRACE_S
        for child in reversed(self.children):
            while _alive(child.process) and time.monotonic() < deadline:
                time.sleep(POLL_S)
            _signal(child.process, signal.SIGKILL)
            child.process.wait()

    def start(self, name: str, argv: list[str], environment: dict[str, str]) -> Child:
        log = self._log_dir / f"{name}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                argv,
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        child = Child(name, log, process)
        self.children.append(child)
        return child

    def finish(self, child: Child, each_poll: Callable[[], None] = lambda: None) -> None:
        """Wait for a child that is to end well.

        Raises:
            StepError: it ended with an error, or another child died meanwhile.
        """
        while child.process.poll() is None:
            each_poll()
            self.check()
            time.sleep(POLL_S)
        each_poll()
        self.check()

    def until(
        self,
        child: Child,
        ready: Callable[[], bool],
        timeout_s: float,
        each_poll: Callable[[], None],
    ) -> None:
        """Wait until `ready()`.

        Raises:
            StepError: the child is not ready in time, or a child died.
        """
        deadline = time.monotonic() + timeout_s
        while not ready():
            each_poll()
            self.check()
            if child.process.poll() is not None:
                raise StepError(child.name, "ended before it was ready", child.log)
            if time.monotonic() > deadline:
                raise StepError(child.name, f"not ready after {timeout_s:.0f} s", child.log)
            time.sleep(POLL_S)

    def check(self) -> None:
        """Raises StepError if any child has ended with an error."""
        for child in self.children:
            code = child.process.poll()
            if code:
                how = (
                    f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
                )
                raise StepError(child.name, how, child.log)


def session_members(session: int) -> list[int]:
    """Every living process of a session. An RQ work horse leaves its group, but not its session."""
    members = []
    for entry in Path("/proc").iterdir():
        with suppress(ProcessLookupError):
            if entry.name.isdigit() and os.getsid(int(entry.name)) == session:
                members.append(int(entry.name))
    return members


def _signal(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """To the child and all that it started, also when it has ended and left others behind."""
    for pid in session_members(process.pid):
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def _alive(process: subprocess.Popen[bytes]) -> bool:
    process.poll()  # reap it, or it stays in its session as a zombie
    return bool(session_members(process.pid))
