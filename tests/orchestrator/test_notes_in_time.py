"""A job that stands still says why within 10 s."""

from __future__ import annotations

import os
import signal
import socket

import httpx2
import pytest

from orchestrator.coordination.heartbeat import KEY, beating, count_workers
from orchestrator.coordination.leases import lease_key
from orchestrator.local.guardian import session_members
from orchestrator.settings import Settings
from orchestrator_parts import serving
from problem_files import problem_file
from stub_server import StubServer
from workers import Bench, until

NOTED_WITHIN_S = 10


def note(api: httpx2.Client, job_id: str) -> str:
    return str(api.get(f"/jobs/{job_id}").json()["note"])


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_note_says_within_10_s_that_no_worker_runs(
    bench: Bench, api: httpx2.Client, server: StubServer, number: signal.Signals
) -> None:
    server.latency_s = 60
    worker = bench.start_worker()
    job = bench.post(problem_file(2))

    def is_noted() -> bool:
        return "none is running" in note(api, job.id)

    until(lambda: server.in_flight > 0 and not is_noted())
    for pid in session_members(worker.pid):
        os.kill(pid, number)
    until(is_noted, NOTED_WITHIN_S)


def test_a_note_says_within_10_s_that_a_worker_is_silent(
    bench: Bench, api: httpx2.Client, server: StubServer
) -> None:
    """The worker itself reports; its work horse is halted, and holds the shard's lease."""
    server.latency_s = 60
    worker = bench.start_worker()
    job = bench.post(problem_file(2))
    until(lambda: server.in_flight > 0)
    for pid in session_members(worker.pid):
        if pid != worker.pid:
            os.kill(pid, signal.SIGSTOP)
    until(lambda: "does not respond" in note(api, job.id), NOTED_WITHIN_S)


def test_a_job_waits_for_its_turn_only_behind_another(bench: Bench, api: httpx2.Client) -> None:
    job = bench.post(problem_file(2))
    with beating(bench.redis, "a worker"):
        until(lambda: "no worker has taken this job up" in note(api, job.id), NOTED_WITHIN_S)
        bench.redis.set(lease_key("job_2", 0), "held", ex=60)
        until(lambda: "for its turn" in note(api, job.id), NOTED_WITHIN_S)


def test_a_note_names_a_redis_that_does_not_answer(settings: Settings) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts, and sends nothing
        url = f"redis://127.0.0.1:{silent.getsockname()[1]}"
        deaf = settings.model_copy(update={"redis_url": url})
        with (
            serving(deaf) as port,
            httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as api,
        ):
            job_id = api.post("/jobs", files={"file": ("f", problem_file(1))}).json()["id"]
            until(
                lambda: "Redis cannot be used" in note(api, job_id),
                NOTED_WITHIN_S,
            )


def test_a_report_from_the_future_is_not_one(bench: Bench) -> None:
    """The clock of Redis was set back after it."""
    now_s = int(bench.redis.time()[0])
    bench.redis.zadd(KEY, {"before the clock was set back": now_s + 30, "now": now_s})
    assert count_workers(bench.redis) == 1
