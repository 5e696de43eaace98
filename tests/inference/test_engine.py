"""The model server as a child process: how it is held, and what becomes of its output."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from inference import engine as engines
from inference.engine import Engine

ONE_LONG_LINE = """
import sys
if __name__ == "__main__":
    for _ in range(200):
        sys.stdout.write("x" * (1 << 20))
    sys.stdout.write("\\nValueError: too long")
"""
PASSES_ON = """
import os, resource, sys, time
from pathlib import Path
from inference.engine import Engine

before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
child = Engine(["child"], dict(os.environ), Path.cwd())
child.release()
while child.exit_code() is None:
    time.sleep(0.05)
said = child.last_error()
grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
print(said, grown_kib >> 10, file=sys.stderr)
"""


RUNS = """
from pathlib import Path
import sys
name = "ran" if __name__ == "__main__" else "imported"
Path(name).write_text(" ".join(sys.argv[1:]))
"""


def test_output_without_newlines_is_passed_on_in_pieces(tmp_path: Path) -> None:
    (tmp_path / "child.py").write_text(ONE_LONG_LINE)
    argv = [sys.executable, "-c", PASSES_ON]
    done = subprocess.run(argv, cwd=tmp_path, env=found_in(tmp_path), capture_output=True)
    assert done.stdout.count(b"x") == 200 << 20, done.stderr.decode()
    said, grown_mib = done.stderr.rsplit(maxsplit=1)
    assert said == b"ValueError: too long"
    assert int(grown_mib) < 50


def found_in(folder: Path) -> dict[str, str]:
    path = os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])
    return {**os.environ, "PYTHONPATH": path}


def started(folder: Path) -> Engine:
    (folder / "child.py").write_text(RUNS)
    engine = Engine(["child", "--port", "1"], found_in(folder), folder)
    deadline = time.monotonic() + 30
    while not engine.has_imported and time.monotonic() < deadline:
        time.sleep(0.05)
    assert (folder / "imported").exists()
    assert not (folder / "ran").exists()
    return engine


def test_a_held_server_runs_once_it_is_released(tmp_path: Path) -> None:
    engine = started(tmp_path)
    engine.release()
    assert engine._process.wait(30) == 0
    assert (tmp_path / "ran").read_text() == "--port 1"


def test_a_held_server_ends_with_its_launcher(tmp_path: Path) -> None:
    engine = started(tmp_path)
    assert engine._process.stdin is not None
    engine._process.stdin.close()
    assert engine._process.wait(30) == 0
    assert not (tmp_path / "ran").exists()


HAS_A_CHILD = """
import subprocess, sys, time
if __name__ == "__main__":
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    print("child", child.pid, flush=True)
    time.sleep(600)
"""


def test_no_child_of_a_killed_server_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may hold the memory of a GPU that the next server needs."""
    monkeypatch.setattr(engines, "LEFTOVERS_S", 0.5)
    (tmp_path / "child.py").write_text(HAS_A_CHILD)
    engine = Engine(["child"], found_in(tmp_path), tmp_path)
    engine.release()
    deadline = time.monotonic() + 30
    while b"child " not in engine.output and time.monotonic() < deadline:
        time.sleep(0.05)
    child = int(engine.output.split()[-1])
    os.kill(engine._process.pid, signal.SIGKILL)
    engine.stop(10)
    state = Path(f"/proc/{child}/stat")
    assert not state.exists() or state.read_text().split()[2] == "Z"
