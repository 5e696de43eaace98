"""Runs one side from its command to its file; also killed half way and started again."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from bench.answer import ROOT, service
from bench.counters import POLL_S, Counters, read, read_replies, when_idle
from bench.peers.figures import Resumed, Run
from bench.peers.server import Server
from bench.peers.sides import HERE, Side, Votes, first_questions, votes_in

from orchestrator.local.guardian import session_members
from orchestrator.local.ports import free_port
from orchestrator.local.processes import Processes, log_tail

IN_FLIGHT = "128"  # as in the peers' own files
TIMEOUT_S = 420.0
# run-batch logs it once its engine is ready
READY = "Reading batch from"


class FailedError(Exception):
    """A side did not do what was asked; the message says why."""


@dataclass
class Runner:
    """`folder` gets a folder for each run."""

    server: Server
    problems: str
    folder: Path

    def run(self, side: Side) -> Run:
        """Raises FailedError."""
        work = self._new_folder(side)
        before = when_idle(self.server.metrics_url)
        with self._service(side, work) as (url, _):
            began_s = time.monotonic()
            with self._command(side, work, url) as process:
                start_s = self._until_ready(side, work, process) - began_s
                _finish(work, process)
            seconds = time.monotonic() - began_s
        return Run(seconds, start_s, self._counted(side, work, before), _votes(work))

    def kill_half_way(self, side: Side, samples: float) -> Resumed:
        """Kill every process of a side by SIGKILL once half of an undisturbed run's `samples` are
        there, and give its command again.

        Raises FailedError.
        """
        work = self._new_folder(side)
        before = when_idle(self.server.metrics_url)
        port = free_port()
        metrics = f"http://127.0.0.1:{port}" if side.own_engine else self.server.metrics_url
        own = {"ENGINE_METRICS": f"--enable-metrics --port {port}"}
        with (
            self._service(side, work) as (url, kill_service),
            self._command(side, work, url, own if side.own_engine else {}) as process,
        ):
            began_s = time.monotonic()
            seen = Counters()
            while seen.samples < samples / 2:
                if process.poll() is not None or time.monotonic() - began_s > TIMEOUT_S:
                    raise FailedError(f"half of its samples never came\n{log_tail(_log(work))}")
                time.sleep(POLL_S)
                with suppress(OSError):  # the engine is not there yet
                    now = read(metrics)
                    seen = now if side.own_engine else now.since(before)
            _kill(process.pid)
            kill_service()
        first = seen if side.own_engine else when_idle(self.server.metrics_url).since(before)
        before = when_idle(self.server.metrics_url)
        began_s = time.monotonic()
        with self._service(side, work) as (url, _):
            with self._command(side, work, url) as process:
                _finish(work, process)
            seconds = time.monotonic() - began_s
        return Resumed(seconds, first, self._counted(side, work, before), _votes(work))

    def _new_folder(self, side: Side) -> Path:
        """A copy of the side's folder, as its user has it; the server's prefix cache is emptied."""
        work = self.folder / f"{len(list(self.folder.iterdir()))}-{side.name}"
        shutil.copytree(HERE / side.folder, work)
        text = first_questions(self.problems, side.questions)
        (work / "problems.jsonl").write_text(text, encoding="utf-8")
        (work / self.server.model).symlink_to(self.server.model_dir)
        self.server.forget_prefixes()
        return work

    @contextmanager
    def _service(self, side: Side, work: Path) -> Iterator[tuple[str, Callable[[], None]]]:
        """The address of Quorum's API, and what kills all its processes; empty for others."""
        if not side.is_quorum:
            yield "", lambda: None
            return
        settings = {"CONCURRENCY": IN_FLIGHT, "MODEL_NAME": self.server.model}
        model = self.server.model
        with service(self.server.url, model, "published", work / "state", **settings) as (
            stack,
            processes,
        ):
            yield stack.api_url, lambda: _kill_all(processes)

    @contextmanager
    def _command(
        self, side: Side, work: Path, quorum_url: str, more: dict[str, str] | None = None
    ) -> Iterator[subprocess.Popen[bytes]]:
        """The side's command, in a session of its own; nothing of it is left at the end."""
        programs = ROOT / side.environment / "bin"
        environment = {
            **os.environ,
            **(self.server.environment if side.own_engine else {}),
            "PATH": f"{programs}:{os.environ.get('PATH', '')}",
            "SERVER": self.server.url,
            "MODEL": self.server.model,
            "ENGINE_OPTIONS": " ".join(self.server.options),
            "QUORUM_URL": quorum_url,
            "HF_HUB_OFFLINE": "1",
            "HF_HOME": str(work / "cache"),
            "NO_PROXY": "127.0.0.1",
            **side.settings,
            **(more or {}),
        }
        with _log(work).open("ab") as log:
            process = subprocess.Popen(
                ["bash", "-e", "run.sh"],
                cwd=work,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            yield process
        finally:
            _kill(process.pid)
            process.wait()

    def _until_ready(self, side: Side, work: Path, process: subprocess.Popen[bytes]) -> float:
        """The time at which a side's own engine is ready; now, if it has none."""
        while side.own_engine and process.poll() is None:
            if READY in _log(work).read_text(errors="replace"):
                break
            time.sleep(POLL_S)
        return time.monotonic()

    def _counted(self, side: Side, work: Path, before: Counters) -> Counters:
        if side.own_engine:
            return read_replies(work / "replies.jsonl")
        return when_idle(self.server.metrics_url).since(before)


def _finish(work: Path, process: subprocess.Popen[bytes]) -> None:
    """Raises FailedError if the command fails, or takes too long."""
    try:
        code = process.wait(TIMEOUT_S)
    except subprocess.TimeoutExpired:
        raise FailedError(f"took more than {TIMEOUT_S:.0f} s\n{log_tail(_log(work))}") from None
    if code:
        raise FailedError(f"exit code {code}\n{log_tail(_log(work))}")


def _votes(work: Path) -> Votes:
    """Raises FailedError if the file is not there."""
    try:
        return votes_in(work / "answers.jsonl")
    except FileNotFoundError:
        raise FailedError(f"it wrote no answers\n{log_tail(_log(work))}") from None


def _log(work: Path) -> Path:
    return work / "output.log"


def _kill(session: int) -> None:
    while members := session_members(session):
        for pid in members:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def _kill_all(processes: Processes) -> None:
    for child in processes.children:
        _kill(child.process.pid)
