"""Workers that are gone or halted are missed in time for a job's note."""

from __future__ import annotations

import os
import signal

import httpx2
import pytest

from orchestrator.local.guardian import session_members
from problem_files import problem_file
from stub_server import StubServer
from workers import Bench, until

NOTED_WITHIN_S = 10


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_note_says_within_10_s_that_no_worker_runs(
    bench: Bench, api: httpx2.Client, server: StubServer, number: signal.Signals
) -> None:
    server.latency_s = 60
    worker = bench.start_worker()
    job = bench.post(problem_file(2))

    def is_noted() -> bool:
        note = str(api.get(f"/jobs/{job.id}").json()["note"])
        return note.startswith("waiting for a worker")

    until(lambda: server.in_flight > 0 and not is_noted())
    for pid in session_members(worker.pid):
        os.kill(pid, number)
    until(is_noted, NOTED_WITHIN_S)
