"""Local mode in the background, with real processes: Redis, API, workers and the launcher, which
waits for a model that nobody has trained.
"""

from __future__ import annotations

import json
import os
import pty
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest

from local_mode import STARTED_BY, nothing_left_behind, processes
from orchestrator.local.ports import free_port

pytestmark = pytest.mark.e2e
SERVICE = ["redis", "api", "worker-1", "worker-2", "inference"]


class Local:
    """`quorum local` with a state folder and ports of its own."""

    def __init__(self, root: Path, state: Path, environment: dict[str, str]) -> None:
        self._root = root
        self.url = f"http://127.0.0.1:{free_port()}"
        own = {"STATE": str(state), "STACK": "cpu", "API_PORT": self.url.rpartition(":")[2]}
        self._environment = {**environment, **own}

    def __call__(self, *words: str, **settings: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(self._root / ".venv/bin/quorum"), "--url", self.url, *words],
            cwd=self._root,
            env={**self._environment, **settings},
            capture_output=True,
            text=True,
            timeout=120,
        )

    @contextmanager
    def in_a_terminal(self, *words: str) -> Iterator[int]:
        """Run it in a terminal of its own, and yield the terminal's other end."""
        pid, terminal = pty.fork()
        if pid == 0:
            program = str(self._root / ".venv/bin/quorum")
            os.chdir(self._root)
            os.execve(program, [program, *words], self._environment)
        yield terminal
        os.waitpid(pid, 0)

    def status(self) -> dict[str, Any]:
        told = self("local", "status", "--json")
        found: dict[str, Any] = json.loads(told.stdout)
        assert told.returncode == (0 if found["running"] else 1)
        return found

    def until(self, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        deadline = time.monotonic() + 60
        while not holds(found := self.status()):
            assert time.monotonic() < deadline, found
            time.sleep(0.3)
        return found


@pytest.fixture
def local(root: Path, tmp_path: Path) -> Iterator[Local]:
    """Ended at the end; nothing that it started is left."""
    with nothing_left_behind() as environment:
        local = Local(root, tmp_path / "state", environment)
        yield local
        local("local", "down")


def serves(status: dict[str, Any]) -> bool:
    return bool(status["server"] == "starting")


def test_the_service_outlives_the_shell_that_starts_it(
    root: Path, local: Local, tmp_path: Path
) -> None:
    started = local("local", "serve", "-d")
    assert started.returncode == 0, started.stdout + started.stderr
    assert f"page    {local.url}" in started.stdout
    assert httpx2.get(f"{local.url}/healthz").status_code == 200

    status = local.until(serves)
    (record,) = status["commands"]
    assert [child["name"] for child in record["processes"]] == SERVICE
    assert "waiting for a published model" in status["server_note"]
    assert status["jobs"] == {"running": 0, "ended": 0}
    assert os.getsid(record["pid"]) == record["pid"]
    os.kill(record["pid"], signal.SIGHUP)

    posted = local("submit", str(root / "examples/demo/validation.jsonl"))
    assert posted.stdout.startswith("job_"), posted.stderr
    assert local.status()["jobs"] == {"running": 1, "ended": 0}

    for words in (("serve", "-d"), ("up",), ("demo",)):
        again = local("local", *words)
        assert again.returncode == 1
        assert f"already running (pid {record['pid']}, since" in again.stdout
        assert local.url in again.stdout

    (api,) = (child["pid"] for child in record["processes"] if child["name"] == "api")
    os.kill(api, signal.SIGKILL)

    def is_back(found: dict[str, Any]) -> bool:
        (told,) = found["commands"]
        return any(child["restarts"] == 1 for child in told["processes"]) and found["api"] == "ok"

    local.until(is_back)

    down = local("local", "down")
    assert down.returncode == 0
    assert "everything has ended" in down.stdout
    ended = local.status()
    assert not ended["running"]
    assert ended["commands"][0]["failure"] == ""
    assert "nothing runs" in local("local", "down").stdout
    assert (tmp_path / "state/logs/quorum-serve.log").is_file()


def test_a_killed_supervisor_leaves_nothing_in_the_way(local: Local) -> None:
    assert local("local", "serve", "-d").returncode == 0
    (record,) = local.until(serves)["commands"]
    os.kill(record["pid"], signal.SIGKILL)
    local.until(lambda status: not status["running"])
    assert "was killed" in local("local", "status").stdout

    again = local("local", "serve", "-d")  # the guardian may still be ending the old processes
    deadline = time.monotonic() + 60
    while again.returncode:
        assert "is used by another process" in again.stdout
        assert time.monotonic() < deadline
        time.sleep(0.5)
        again = local("local", "serve", "-d")
    local.until(serves)
    sessions = [child["pid"] for child in record["processes"]]
    while left := [pid for session in sessions for pid in sessions_of(session)]:
        assert time.monotonic() < deadline, left  # the guardian waits for them, then kills them
        time.sleep(0.5)


def sessions_of(leader: int) -> list[int]:
    marked = processes("environ", f"{STARTED_BY}=")
    return [pid for pid in marked if session(pid) == leader]


def session(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return None


def test_a_taken_port_is_named_and_nothing_is_started(local: Local) -> None:
    with closing(socket.create_server(("127.0.0.1", int(local.url.rpartition(":")[2])))):
        refused = local("local", "serve", "-d")
    assert refused.returncode == 1
    assert "is used by another process" in refused.stdout
    assert "API_PORT" in refused.stdout
    found = local.status()
    assert not found["running"]
    assert "is used by another process" in found["commands"][0]["failure"]


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"TRAIN": "nowhere.jsonl"}, "there is no file nowhere.jsonl: look at TRAIN"),
        ({"RECIPE": "nothing.toml"}, "nothing.toml: set RECIPE to a path, or to one of"),
        ({"STACK": "volta"}, "STACK=volta needs an NVIDIA GPU"),
    ],
)
def test_a_wrong_setting_is_told_by_the_command_itself(
    local: Local, settings: dict[str, str], reason: str
) -> None:
    refused = local("local", "up", "-d", **settings)
    assert refused.returncode == 1
    assert reason in (refused.stdout + refused.stderr).replace("\n", " ")


def test_a_process_that_cannot_start_is_told_at_once(local: Local) -> None:
    refused = local("local", "serve", "-d", API_HOST="0.0.0.0", API_KEY="")
    assert refused.returncode == 1, refused.stdout
    assert "api failed: ended with exit code 2 before it was ready" in refused.stdout
    assert "API_KEY" in refused.stdout
    assert "runs in the background" not in refused.stdout


@pytest.mark.parametrize("command", ["up", "serve", "train"])
def test_a_state_folder_that_cannot_be_used_is_named(
    local: Local, tmp_path: Path, command: str
) -> None:
    taken = tmp_path / "file"
    taken.touch()
    for words in ((command, "-d"), (command,)):
        refused = local("local", *words, STATE=str(taken))
        assert refused.returncode == 1
        assert f"{taken} cannot be used (" in refused.stdout
        assert "Traceback" not in refused.stderr
    assert local("local", "status", STATE=str(taken)).stdout.startswith("nothing runs")
    assert "nothing runs" in local("local", "down", STATE=str(taken)).stdout


def test_a_training_file_may_have_blanks_in_its_name(local: Local, tmp_path: Path) -> None:
    named = tmp_path / "my 题目.jsonl"
    refused = local("local", "train", "-d", "--train", str(named))
    assert f"there is no file {named}: look at TRAIN" in refused.stdout


def test_a_closed_terminal_ends_it_in_order(local: Local) -> None:
    with local.in_a_terminal("local", "serve") as terminal:
        (record,) = local.until(serves)["commands"]
        os.close(terminal)
        found = local.until(lambda status: not status["running"])
    assert found["commands"][0]["pid"] == record["pid"]
    assert found["commands"][0]["failure"] == ""


def test_a_second_down_does_not_hurry_the_first(local: Local) -> None:
    assert local("local", "serve", "-d").returncode == 0
    (record,) = local.until(serves)["commands"]
    (worker,) = (child["pid"] for child in record["processes"] if child["name"] == "worker-1")
    os.kill(worker, signal.SIGSTOP)  # it takes its grace to end
    os.kill(record["pid"], signal.SIGTERM)
    local.until(lambda status: status["commands"][0]["doing"] == "stopping")
    assert local("local", "down").returncode == 0
    assert session(worker) is None


def test_a_failed_training_is_in_the_status(local: Local, tmp_path: Path) -> None:
    empty = tmp_path / "base"
    empty.mkdir()
    started = local("local", "train", "-d", BASE=str(empty))
    assert started.returncode == 0, started.stdout
    found = local.until(lambda status: not status["running"])
    (record,) = found["commands"]
    assert record["failure"] == "trainer: ended with exit code 1"
    assert record["failed_log"].endswith("logs/trainer.log")
    assert record["failed_log"] in "".join(local("local", "status").stdout.split())
    assert "has no config.json" in (Path(record["logs"]) / "trainer.log").read_text()
