"""Local mode's processes, real ones: they are restarted, and they end with their starter."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.local import processes as processes_module
from orchestrator.local.guardian import session_members
from orchestrator.local.processes import Processes, StepError

# This child has a child of its own, which ignores SIGTERM and leaves the process group.
STUBBORN = """
import os, signal, time
if os.fork() == 0:
    os.setpgrp()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
time.sleep(600)
"""
OWNER = """
import sys, time
from pathlib import Path
from orchestrator.local import processes
processes.STOP_GRACE_S = 1.0
with processes.Processes(Path(sys.argv[1])) as started:
    for name in ("one", "two"):
        child = started.start(name, [sys.executable, "-c", sys.argv[2]], {}, kept_up=True)
        print(child.process.pid, flush=True)
    while True:
        started.check()
        time.sleep(0.1)
"""


def until(holds: Callable[[], bool], timeout_s: float = 20) -> None:
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.05)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGHUP, signal.SIGTERM])
def test_no_process_outlives_the_one_that_started_it(tmp_path: Path, number: int) -> None:
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER, str(tmp_path), STUBBORN],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert owner.stdout is not None
    sessions = [int(owner.stdout.readline()) for _ in range(2)]
    until(lambda: len(session_members(*sessions)) == 4)
    children = [pid for pid in _children(owner.pid) if pid not in sessions]
    assert len(children) == 1  # the guardian
    os.killpg(owner.pid, number)
    owner.wait(timeout=20)
    until(lambda: not session_members(*sessions, *children))


def _children(parent: int) -> list[int]:
    found = Path(f"/proc/{parent}/task/{parent}/children").read_text()
    return [int(pid) for pid in found.split()]


def test_a_process_that_dies_is_started_again_with_a_message(tmp_path: Path) -> None:
    said: list[str] = []
    with Processes(tmp_path, said.append) as processes:
        child = processes.start("api", [sys.executable, "-c", STUBBORN], {}, kept_up=True)
        first = child.process.pid
        until(lambda: len(session_members(first)) == 2)
        os.kill(first, signal.SIGKILL)

        def again() -> bool:
            processes.check()
            return len(session_members(child.process.pid)) == 2 and child.process.pid != first

        until(again)
        assert not session_members(first)
    assert said == ["api was killed by signal 9; it is restarted in 1 s"]
    assert not session_members(child.process.pid)


def test_pauses_grow_for_a_process_that_keeps_dying(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes_module, "FIRST_PAUSE_S", 0.1)
    said: list[str] = []
    with Processes(tmp_path, said.append) as processes:
        program = [sys.executable, "-c", "import sys; sys.exit('no such model')"]
        child = processes.start("worker-1", program, {}, kept_up=True)
        child.pause_s = 0.1

        def third() -> bool:
            processes.check()
            return len(said) == 3

        until(third)
    assert said[0] == "worker-1 ended with exit code 1; it is restarted in 0.1 s"
    pauses = [line.split("\n")[0].split()[-2] for line in said]
    assert pauses == ["0.1", "0.2", "0.4"]
    assert "the end of" in said[1]
    assert "no such model" in said[1]


def test_a_step_that_ends_with_another_exit_code_is_an_error(tmp_path: Path) -> None:
    with Processes(tmp_path) as processes:
        child = processes.start("trainer", [sys.executable, "-c", "raise SystemExit(3)"], {})
        with pytest.raises(StepError, match="trainer: ended with exit code 3"):
            processes.finish(child)


def test_a_process_that_dies_before_it_is_ready_is_an_error(tmp_path: Path) -> None:
    with Processes(tmp_path) as processes:
        program = [sys.executable, "-c", "raise SystemExit(4)"]
        child = processes.start("inference", program, {}, kept_up=True)
        with pytest.raises(StepError, match="ended with exit code 4 before it was ready"):
            processes.until(child, lambda: False, 30, lambda: None)


# Says when it was asked to end, and ends after the seconds that it is given.
SLOW = """
import signal, sys, time
def stop(*_):
    time.sleep(float(sys.argv[1]))
    print("asked and done", flush=True)
    sys.exit()
signal.signal(signal.SIGTERM, stop)
print("ready", flush=True)
time.sleep(600)
"""


def test_what_a_drained_child_leaves_ends_with_it(tmp_path: Path) -> None:
    began_s = time.monotonic()
    with Processes(tmp_path) as processes:
        child = processes.start("drains", [sys.executable, "-c", STUBBORN], {}, drain_s=60)
        until(lambda: len(session_members(child.process.pid)) == 2)
    assert not session_members(child.process.pid)
    assert time.monotonic() - began_s < 40


def test_a_child_that_drains_has_its_time_and_redis_ends_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes_module, "STOP_GRACE_S", 1.0)
    program = [sys.executable, "-c", SLOW]
    with Processes(tmp_path) as processes:
        redis = processes.start("redis", [*program, "0"], {}, outlives=True)
        drains = processes.start("drains", [*program, "2"], {}, drain_s=20)
        hangs = processes.start("hangs", [*program, "60"], {})
        until(lambda: all("ready" in child.log.read_text() for child in processes.children))
    ended = {child.name: child.log.stat().st_mtime for child in (redis, drains)}
    assert "asked and done" in drains.log.read_text()
    assert "asked and done" not in hangs.log.read_text()
    assert ended["redis"] > ended["drains"]


def test_a_log_is_bounded_and_the_one_before_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes_module, "LOG_BYTES", 1000)
    program = "import time\nfor i in range(10**6): print(i, flush=True); time.sleep(0.001)"
    (tmp_path / "talks.log").write_text("before")
    with Processes(tmp_path) as processes:
        child = processes.start("talks", [sys.executable, "-c", program], {})
        kept = tmp_path / "talks.log.1"
        assert kept.read_text() == "before"
        until(lambda: child.log.stat().st_size > 1000)
        processes.check()
        assert kept.stat().st_size > 1000
        last = int(kept.read_text().split()[-1])
        until(lambda: child.log.stat().st_size > 100)
        assert int(child.log.read_text().split()[0]) > last
