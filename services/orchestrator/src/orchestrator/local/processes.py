"""Child processes, each with a log. They are restarted on request, and none outlives the stack."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from orchestrator.local.guardian import (
    ANNOUNCE,
    POLL_S,
    end_sessions,
    session_members,
    signal_sessions,
)

STOP_GRACE_S = 15.0
TAIL_LINES = 20
# After a process has run this long, the pause before its next restart is short again.
STEADY_S = 60.0
FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 60.0
# A log that has grown to this size is copied to NAME.log.1 and emptied.
LOG_BYTES = 20 * 2**20


class StepError(Exception):
    """A step failed. Holds the step, the reason and the step's log."""

    def __init__(self, step: str, reason: str, log: Path | None = None) -> None:
        super().__init__(f"{step}: {reason}")
        self.step = step
        self.reason = reason
        self.log = log

    def log_tail(self) -> str:
        return "" if self.log is None else log_tail(self.log)


def log_tail(log: Path) -> str:
    """The last lines of a log; empty if there is no log."""
    if not log.is_file():
        return ""
    return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-TAIL_LINES:])


def bound_log(log: Path) -> None:
    """Copy a large log to NAME.log.1 and empty it. Its writers append, so they need not know.

    Lines that are written between the two are lost.
    """
    with suppress(FileNotFoundError):
        if log.stat().st_size > LOG_BYTES:
            with suppress(OSError):  # on a full disk, emptying it helps more than a copy
                shutil.copyfile(log, log.with_name(f"{log.name}.1"))
            os.truncate(log, 0)


@dataclass
class Child:
    """A started process. With `kept_up` it is restarted whenever it ends.

    `drain_s`: it stops its own children, and has this long to do so. `outlives`: it ends once the
    other children have.
    """

    name: str
    log: Path
    argv: list[str]
    environment: dict[str, str]
    process: subprocess.Popen[bytes]
    started_at_s: float
    kept_up: bool = False
    drain_s: float = 0.0
    outlives: bool = False
    restarts: int = 0
    pause_s: float = FIRST_PAUSE_S
    start_again_at_s: float | None = None


class Processes:
    """Starts children, each in its own session.

    Leaving the context ends all children; those that others need end last. If this process is
    killed, a guardian process ends them. `say` gets a message for each process that died and is
    restarted.
    """

    def __init__(self, log_dir: Path, say: Callable[[str], None] = lambda line: None) -> None:
        self._log_dir = log_dir
        self._say = say
        self.children: list[Child] = []
        self._sessions: set[int] = set()  # sessions that may hold processes
        log_dir.mkdir(parents=True, exist_ok=True)
        self._guardian = subprocess.Popen(
            [sys.executable, "-m", "orchestrator.local.guardian", str(STOP_GRACE_S)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop([child for child in self.children if not child.outlives])
        self._stop([child for child in self.children if child.outlives])
        with suppress(BrokenPipeError):
            self._pipe().close()
        self._guardian.wait()

    def _stop(self, children: list[Child]) -> None:
        """Ask them to end, wait as long as each may take, and end what is left."""
        began_s = time.monotonic()
        limits_s = {}
        for child in children:
            pid = child.process.pid
            if child.drain_s and child.process.poll() is None:
                child.process.terminate()
            else:
                signal_sessions(self._sessions & {pid}, signal.SIGTERM)
            limits_s[pid] = child.drain_s or STOP_GRACE_S
        while True:
            for child in children:
                if child.drain_s and child.process.poll() is not None:
                    self._end(child)  # what it leaves ends with it, as in a container
            passed_s = time.monotonic() - began_s
            waited_for = {pid for pid, limit_s in limits_s.items() if passed_s < limit_s}
            if not session_members(*(self._sessions & waited_for)):
                break
            time.sleep(POLL_S)
        for child in children:
            self._end(child)

    def start(
        self,
        name: str,
        argv: list[str],
        environment: dict[str, str],
        *,
        kept_up: bool = False,
        drain_s: float = 0.0,
        outlives: bool = False,
    ) -> Child:
        """Start a child with an empty log; what an earlier one left is kept as NAME.log.1."""
        log = self._log_dir / f"{name}.log"
        if log.exists():
            log.replace(log.with_name(f"{log.name}.1"))
        process = self._open(argv, environment, log)
        started_at_s = time.monotonic()
        child = Child(
            name, log, argv, environment, process, started_at_s, kept_up, drain_s, outlives
        )
        self.children.append(child)
        return child

    def _open(
        self, argv: list[str], environment: dict[str, str], log: Path
    ) -> subprocess.Popen[bytes]:
        with log.open("ab") as output:
            process = subprocess.Popen(
                [*ANNOUNCE, *argv],
                env={**os.environ, **environment},
                stdin=self._pipe(),
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._sessions.add(process.pid)
        return process

    def _pipe(self) -> IO[bytes]:
        pipe = self._guardian.stdin
        assert pipe is not None
        return pipe

    def _end(self, child: Child) -> None:
        """Reap an ended child, end its remaining processes, and tell the guardian."""
        pid = child.process.pid
        if pid in self._sessions:
            end_sessions([pid], 0)
            child.process.wait()
            self._sessions.discard(pid)  # from now on another process may get this number
            with suppress(BrokenPipeError):
                os.write(self._pipe().fileno(), b"-%d\n" % pid)

    def finish(self, child: Child, each_poll: Callable[[], None] = lambda: None) -> None:
        """Wait until a child has ended successfully.

        Raises:
            StepError: it ended with an error, or another child died in the meantime.
        """
        while child.process.poll() is None:
            each_poll()
            self.check()
            time.sleep(POLL_S)
        each_poll()
        self.check()
        self._end(child)

    def until(
        self,
        child: Child,
        ready: Callable[[], bool],
        timeout_s: float,
        each_poll: Callable[[], None],
    ) -> None:
        """Wait until `ready()`.

        Raises:
            StepError: the child is not ready in time, or has ended.
        """
        deadline = time.monotonic() + timeout_s
        while not ready():
            each_poll()
            if child.process.poll() is not None:
                how = _how(child.process.returncode)
                raise StepError(child.name, f"{how} before it was ready", child.log)
            self.check()
            if time.monotonic() > deadline:
                raise StepError(child.name, f"not ready after {timeout_s:.0f} s", child.log)
            time.sleep(POLL_S)

    def check(self) -> None:
        """Restart the `kept_up` children that have ended.

        Raises:
            StepError: another child has ended with an error.
        """
        for child in self.children:
            bound_log(child.log)
            code = child.process.poll()
            if code is None:
                continue
            if child.kept_up:
                self._keep_up(child, _how(code))
            elif code:
                raise StepError(child.name, _how(code), child.log)

    def _keep_up(self, child: Child, how: str) -> None:
        """Restart an ended child after a pause, which grows while the child keeps dying soon."""
        now_s = time.monotonic()
        if child.start_again_at_s is None:
            if now_s - child.started_at_s >= STEADY_S:
                child.pause_s = FIRST_PAUSE_S
            child.start_again_at_s = now_s + child.pause_s
            line = f"{child.name} {how}; it is restarted in {child.pause_s:g} s"
            if child.pause_s > FIRST_PAUSE_S:  # it died repeatedly: show its log
                line += f"\nthe end of {child.log}:\n{log_tail(child.log)}"
            self._say(line)
            child.pause_s = min(2 * child.pause_s, LONGEST_PAUSE_S)
            self._end(child)  # its own children end with it, as in a container
        elif now_s >= child.start_again_at_s:
            child.process = self._open(child.argv, child.environment, child.log)
            child.started_at_s, child.start_again_at_s = now_s, None
            child.restarts += 1


def _how(code: int) -> str:
    return f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
