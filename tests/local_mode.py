"""Local mode as a user starts it: `quorum local up`, on the demo's model."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2

from orchestrator.local.stack import API_PORT

URL = f"http://127.0.0.1:{API_PORT}"
UP_TIMEOUT_S = 400


@contextmanager
def local_up(root: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [str(root / ".venv" / "bin" / "quorum"), "local", "up"],
        cwd=root,
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
        assert process.poll() is None
        assert time.monotonic() < deadline, "the stack did not become ready"
        try:
            if httpx2.get(f"{URL}/readyz").status_code == 200:
                return
        except httpx2.TransportError:
            pass
        time.sleep(1)
