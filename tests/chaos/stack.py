"""Local mode's processes with a stub for the model, and what can be broken about them."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Self

import httpx2
from redis import Redis
from redis.exceptions import RedisError

from chaos.clock import Clock
from chaos.network import Network
from chaos.volume import Volume
from orchestrator.coordination.heartbeat import count_workers
from orchestrator.local.guardian import session_members
from orchestrator.local.ports import free_port
from orchestrator.local.processes import FIRST_PAUSE_S, Child, Processes
from orchestrator.local.stack import LocalStack
from stub_server import MODEL

READY_TIMEOUT_S = 60.0
TICK_S = 0.05
SHOW_TIMEOUT_S = 1.5
WORKERS = ("worker-1", "worker-2")
MARK = "QUORUM_CHAOS"  # in the environment of every process of a stack: its folder
# A request that hangs is given up after this; the setting that ships is ten minutes.
REQUEST_TIMEOUT_S = 5.0
SETTINGS = {
    "MODEL_NAME": MODEL,
    "MODEL_CONTRACT": "default",
    "SHARD_QUESTIONS": "16",
    "CONCURRENCY": "4",
    "REQUEST_TIMEOUT_S": str(REQUEST_TIMEOUT_S),
}
LATENCY_S = 0.25


class Stack:
    """Redis, API, two workers and a model in a folder, kept up by `tick` as local mode does.

    A process has one stack at a time: the stack's processes inherit its environment.
    """

    def __init__(self, folder: Path, latency_s: float = LATENCY_S) -> None:
        folder.mkdir(parents=True)
        self.folder = folder
        self.samples = folder / "samples.log"
        self.mischief = folder / "mischief.json"
        self.samples.touch()
        self.mischief.touch()
        self.clock = Clock(folder)
        self.volume = Volume(folder / "volume")
        self._environment = {**self.clock.environment, MARK: str(folder)}
        os.environ.update(self._environment)
        self._tempdir = tempfile.tempdir
        tempfile.tempdir = str(folder)  # where local mode puts the socket of Redis
        model_port, linked_port = free_port(), free_port()
        linked_redis = folder / "linked-redis.sock"
        self.local = LocalStack(
            folder,
            self.volume.path,
            {
                **SETTINGS,
                "INFERENCE_URL": f"http://127.0.0.1:{linked_port}/v1",
                "REDIS_URL": f"unix://{linked_redis}",
            },
            api_port=free_port(),
            workers=len(WORKERS),
        )
        self.data = self.volume.path / "data"
        self.redis_files = self.volume.path / "redis"
        self.api = httpx2.Client(base_url=self.local.api_url, timeout=3, trust_env=False)
        self.processes = Processes(folder / "logs", self._note)
        program = Path(__file__).with_name("model.py")
        words = [str(model_port), str(latency_s), str(self.samples), str(self.mischief)]
        self.processes.start("model", [sys.executable, str(program), *words], {}, kept_up=True)
        self.network = Network()
        self.model_link = self.network.link(linked_port, model_port)
        self._start_service(linked_redis)

    def _start_service(self, linked_redis: Path) -> None:
        try:
            # Redis makes its socket only now; until it is linked, the others wait for it
            self.local.start_service(self.processes)
            argv = self.child("redis").argv
            self.redis_socket = Path(argv[argv.index("--unixsocket") + 1])
            self.redis = Redis(unix_socket_path=str(self.redis_socket), socket_timeout=3)
            self.redis_link = self.network.link(linked_redis, self.redis_socket)
            self.until(self.is_healthy, READY_TIMEOUT_S)
        except BaseException:
            self.end()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.end()

    def end(self) -> None:
        for child in self.processes.children:
            self.send_to_all(
                child.name, signal.SIGCONT
            )  # a halted process ends only once it goes on
        self.api.close()
        self.processes.__exit__(None, None, None)
        for name in self._environment:
            del os.environ[name]
        tempfile.tempdir = self._tempdir
        self.network.end()
        self.volume.end()

    def _note(self, line: str) -> None:
        with (self.folder / "logs" / "kept_up.log").open("a") as log:
            log.write(f"{time.strftime('%X')} {line}\n")

    def tick(self) -> None:
        """One step of keeping the processes up; call it many times a second."""
        self.processes.check()
        time.sleep(TICK_S)

    def until(self, holds: Callable[[], bool], timeout_s: float) -> None:
        """Raises TimeoutError, with the name of what was waited for."""
        deadline = time.monotonic() + timeout_s
        while not holds():
            if time.monotonic() > deadline:
                raise TimeoutError(f"not within {timeout_s:g} s: {holds.__name__}")
            self.tick()

    # ---- its processes ------------------------------------------------------------------------

    def child(self, name: str) -> Child:
        return next(child for child in self.processes.children if child.name == name)

    def horses(self) -> list[int]:
        """The work horses that answer shards now."""
        workers = [self.child(name).process.pid for name in WORKERS]
        return [pid for pid in session_members(*workers) if pid not in workers]

    def send(self, name: str, number: signal.Signals) -> None:
        """Send a signal to a started process, and not to what it forked."""
        child = self.child(name)
        if child.process.poll() is None:
            child.process.send_signal(number)

    def send_to_all(self, name: str, number: signal.Signals) -> None:
        """Send a signal to a started process and to what it forked."""
        for pid in session_members(self.child(name).process.pid):
            _kill(pid, number)

    def send_to_horse(self, number: signal.Signals) -> int | None:
        """Send a signal to one work horse; its process id, or None if there was none."""
        for pid in self.horses():
            if _kill(pid, number):
                return pid
        return None

    def continue_processes(self, pids: list[int]) -> None:
        """Send SIGCONT to those of some work horses that are still there."""
        for pid in set(pids) & set(self.horses()):
            _kill(pid, signal.SIGCONT)

    def restart_at_once(self) -> None:
        """Forget that processes died before: the next restart comes after the first pause."""
        for child in self.processes.children:
            child.pause_s = FIRST_PAUSE_S

    def is_healthy(self) -> bool:
        """True if the API is ready, both workers report, and no work horse is left."""
        try:
            ready = self.api.get("/readyz").status_code == 200
            return ready and count_workers(self.redis) >= len(WORKERS) and not self.horses()
        except (httpx2.TransportError, RedisError):
            return False

    # ---- its jobs -----------------------------------------------------------------------------

    def post(self, data: bytes) -> str:
        reply = self.api.post("/jobs", files={"file": ("f.jsonl", data)}, timeout=30)
        reply.raise_for_status()
        job_id: str = reply.json()["id"]
        return job_id

    def job(self, job_id: str) -> dict[str, Any] | None:
        """The job as the API shows it; None if the API does not answer."""
        try:
            reply = self.api.get(f"/jobs/{job_id}", timeout=SHOW_TIMEOUT_S)
        except httpx2.TransportError:
            return None
        found: dict[str, Any] | None = reply.json() if reply.status_code == 200 else None
        return found

    def directory(self, job_id: str) -> Path:
        return self.data / "jobs" / job_id

    def delete(self, job_id: str) -> None:
        self.api.delete(f"/jobs/{job_id}", timeout=30).raise_for_status()

    def misbehave(self, **mischief: Any) -> None:
        """Tell the model how to misbehave; without arguments, to behave."""
        replaced = self.mischief.with_suffix(".new")
        replaced.write_text(json.dumps(mischief) if mischief else "")
        replaced.replace(self.mischief)

    def keep_evidence(self, folder: Path) -> None:
        """Copy logs, job directories and the sample log."""
        shutil.copytree(self.folder / "logs", folder / "logs", dirs_exist_ok=True)
        shutil.copytree(self.data / "jobs", folder / "jobs", dirs_exist_ok=True)
        shutil.copy(self.samples, folder)


def interrupt_once() -> None:
    """Let SIGTERM and SIGINT raise KeyboardInterrupt, once: after that the stack is being ended."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        for further in (signal.SIGTERM, signal.SIGINT):
            signal.signal(further, signal.SIG_IGN)
        raise KeyboardInterrupt

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, interrupt)


def _kill(pid: int, number: signal.Signals) -> bool:
    try:
        os.kill(pid, number)
    except ProcessLookupError:  # it ended by itself meanwhile
        return False
    return True
