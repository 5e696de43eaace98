"""How bench/job_profile.py tells the parts of a worker's time apart, and requests from replies."""

from __future__ import annotations

import httpx2
import pytest
from bench.relay import Relay
from bench.worker_frames import class_of, shares

from stub_server import StubServer

WORKER = 'process 7:"python -m orchestrator.worker";'
HORSE = WORKER + 'process 8:"python -m orchestrator.worker";'
MAIN = "thread (8): MainThread;"
LOOP = "BaseEventLoop._run_once (/python/asyncio/base_events.py:1907)"


@pytest.mark.parametrize(
    ("innermost", "name"),
    [
        ("EpollSelector.select (/python/selectors.py:468)", "idle"),
        ("ClientRequest.send (/site-packages/aiohttp/client_reqrep.py:9)", "client"),
        ("JSONEncoder.encode (/python/json/encoder.py:200)", "JSON, pydantic"),
        ("Journal.sync (/src/orchestrator/jobs/journal.py:84)", "files"),
        ("extract_label (/src/contract/labels.py:70)", "questions, labels, votes"),
        ("DummyCookieJar.update (/python/http/cookies.py:1)", "event loop"),
    ],
)
def test_a_stack_has_the_class_of_its_innermost_frame(innermost: str, name: str) -> None:
    assert class_of([LOOP, innermost]) == name


def test_shares_count_the_main_thread_of_work_horses() -> None:
    raw = "\n".join(
        [
            f"{WORKER}thread (7): MainThread;Worker.wait_for_horse (/rq/worker.py:1) 100",
            f"{HORSE}{MAIN}{LOOP} 3",
            f"{HORSE}{MAIN}{LOOP};EpollSelector.select (/python/selectors.py:468) 1",
            f"{HORSE}thread (9): asyncio_0;_worker (/python/concurrent/futures/thread.py:81) 4",
            f"{HORSE}thread (9): asyncio_0;Journal.sync (/orchestrator/jobs/journal.py:84) 1",
        ]
    )
    assert shares(raw) == {"main": {"event loop": 0.75, "idle": 0.25}, "threads": {"files": 0.25}}


def test_the_relay_notes_requests_and_changes_no_byte() -> None:
    server = StubServer()
    server.start()
    try:
        direct = httpx2.get(f"{server.url}/models", trust_env=False).content
        with Relay(server.url) as relay:
            relayed = httpx2.get(f"{relay.url}/models", trust_env=False).content
            (passed,) = relay.passed
    finally:
        server.stop()
    assert relayed == direct
    assert passed.path == "/v1/models"
    assert passed.replied_at_s >= passed.asked_at_s
