"""The model server as a child process: its output, and its stop."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

IGNORES_STOPS = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("up", flush=True)
time.sleep(60)
"""
STOPPED_TWICE = """
import os, signal, sys, threading, time
from pathlib import Path
from inference.engine import Engine
from inference.serving import StopRequested, stop_requests

def stop_twice():
    for _ in range(2):
        time.sleep(0.5)
        os.kill(os.getpid(), signal.SIGTERM)

with stop_requests():
    child = Engine([sys.executable, "-c", sys.argv[1]], dict(os.environ), Path.cwd())
    try:
        try:
            threading.Thread(target=stop_twice).start()
            time.sleep(30)
        finally:
            child.stop(1.5)
    except StopRequested:
        print("exit code", child.exit_code())
"""
ONE_LONG_LINE = """
import sys
for _ in range(200):
    sys.stdout.write("x" * (1 << 20))
sys.stdout.write("\\nValueError: too long")
"""
PASSES_ON = """
import os, resource, sys, time
from pathlib import Path
from inference.engine import Engine

before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
child = Engine([sys.executable, "-c", sys.argv[1]], dict(os.environ), Path.cwd())
while child.exit_code() is None:
    time.sleep(0.05)
said = child.last_error()
grown_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
print(said, grown_kib >> 10, file=sys.stderr)
"""


def run(script: str, child: str, folder: Path) -> subprocess.CompletedProcess[bytes]:
    argv = [sys.executable, "-c", script, child]
    return subprocess.run(argv, cwd=folder, env=os.environ, capture_output=True, timeout=60)


def test_a_second_stop_signal_leaves_no_server_running(tmp_path: Path) -> None:
    done = run(STOPPED_TWICE, IGNORES_STOPS, tmp_path)
    assert b"exit code -9" in done.stdout, done.stderr.decode()


def test_output_without_newlines_is_passed_on_in_pieces(tmp_path: Path) -> None:
    done = run(PASSES_ON, ONE_LONG_LINE, tmp_path)
    assert done.stdout.count(b"x") == 200 << 20
    said, grown_mib = done.stderr.rsplit(maxsplit=1)
    assert said == b"ValueError: too long"
    assert int(grown_mib) < 50
