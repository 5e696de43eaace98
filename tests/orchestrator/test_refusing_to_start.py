"""The API with wrong settings: it ends; in a container it stays and says why."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx2

from orchestrator.local.ports import free_port


def start(folder: Path, *arguments: str, **variables: str) -> "subprocess.Popen[str]":
    environment = {**os.environ, "DATA_DIR": str(folder), "API_PUBLISHED_ON": "0.0.0.0"}
    return subprocess.Popen(
        [sys.executable, "-m", "orchestrator.api", *arguments],
        env={**environment, "API_KEY": "", **variables},
        stderr=subprocess.PIPE,
        text=True,
    )


def test_an_open_api_without_a_key_ends_with_one_line(tmp_path: Path) -> None:
    with start(tmp_path) as api:
        _, said = api.communicate(timeout=60)
    assert api.returncode == 2
    assert "set API_KEY to a secret" in said
    assert len(said.splitlines()) == 1


def test_in_a_container_the_api_stays_unhealthy_and_says_why(tmp_path: Path) -> None:
    port = free_port()
    with start(tmp_path, "--stay", API_PORT=str(port)) as api:
        deadline = time.monotonic() + 60
        while True:
            assert api.poll() is None
            assert time.monotonic() < deadline
            try:
                reply = httpx2.get(f"http://127.0.0.1:{port}/healthz", trust_env=False)
                break
            except httpx2.TransportError:
                time.sleep(0.1)
        assert reply.status_code == 503
        assert "set API_KEY to a secret" in reply.json()["error"]["message"]
        api.send_signal(signal.SIGTERM)
        assert api.wait(20) == 2
