"""Background tasks of the API survive every error."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest
import structlog
from starlette.responses import HTMLResponse, JSONResponse, Response

from contract import Sentence
from contracts import make_contract
from orchestrator.api import service as service_module
from orchestrator.background import repeat
from orchestrator.coordination.queueing import Scheduler
from orchestrator.settings import Settings
from orchestrator_parts import serving
from problem_files import problem_file
from stub_server import StubServer

STEP = Sentence("step", "the step")


@pytest.fixture(autouse=True)
def checked_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service_module, "MODEL_CHECK_EVERY_S", 0.1)
    monkeypatch.setattr(service_module, "SCAN_EVERY_S", 0.1)


def until(holds: Callable[[], bool], timeout_s: float = 15) -> None:
    deadline = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.05)


def model_state(api: httpx2.Client) -> str:
    return str(api.get("/readyz").json()["model"])


@pytest.mark.parametrize("reply", [HTMLResponse("<html>"), JSONResponse(None)])
def test_the_model_check_survives_an_unreadable_list_of_models(
    api: httpx2.Client, server: StubServer, reply: Response
) -> None:
    until(lambda: model_state(api) == "ok")
    server.instead["/v1/models"] = reply
    until(lambda: "does not answer /models with a list" in model_state(api))
    server.instead.clear()
    until(lambda: model_state(api) == "ok")


def test_the_model_check_survives_an_unreadable_models_volume(
    settings: Settings, server: StubServer
) -> None:
    current = settings.models_dir / "m" / "current"
    (current / "contract.json").mkdir(parents=True)  # reading it is an OSError
    contract = make_contract("aaa1")
    server.served, server.tokens = "m@aaa1", list(contract.probe.token_ids)
    published = settings.model_copy(update={"model_contract": "published", "model_name": "m"})
    with (
        serving(published) as port,
        httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as api,
    ):
        until(lambda: "cannot be read" in model_state(api))
        assert api.get("/model").status_code == 503
        (current / "contract.json").rmdir()
        (current / "contract.json").write_bytes(contract.dump())
        until(lambda: model_state(api) == "ok")


def test_a_failed_scan_is_reported_and_repeated(
    api: httpx2.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    scan = Scheduler.scan

    def fail(self: Scheduler) -> int:
        raise RuntimeError("a fault of ours")

    monkeypatch.setattr(Scheduler, "scan", fail)
    job = api.post("/jobs", files={"file": ("f", problem_file(1))}).json()["id"]

    def note() -> str:
        return str(api.get(f"/jobs/{job}").json()["note"])

    until(lambda: "the recovery scan failed" in note())
    assert "RuntimeError: a fault of ours" in note()
    monkeypatch.setattr(Scheduler, "scan", scan)
    until(lambda: "none is running" in note())


def test_every_kind_of_failure_is_logged_once_with_its_traceback() -> None:
    said: list[str] = []
    steps = iter([ValueError("one"), ValueError("two"), KeyError("k"), None, ValueError("again")])

    async def step() -> None:
        error = next(steps)
        if error is not None:
            raise error

    async def run() -> None:
        repeating = asyncio.create_task(repeat(STEP, step, 0, said.append))
        await asyncio.wait({repeating}, timeout=0.2)
        assert not repeating.done()
        repeating.cancel()

    with structlog.testing.capture_logs() as logs:
        asyncio.run(run())
    tracebacks = [str(entry["exc_info"]) for entry in logs if "exc_info" in entry]
    assert tracebacks[:3] == ["one", "'k'", "again"]
    assert said[0] == "the step failed and is tried again every 0 s (ValueError: one)"
    assert len(said) > 3


def test_a_damaged_contract_hides_no_other_model(settings: Settings, two_models: Path) -> None:
    (two_models / "aaa1" / "contract.json").write_bytes(b"{")
    named = settings.model_copy(update={"model_name": "m"})
    with serving(named) as port:
        reply = httpx2.get(f"http://127.0.0.1:{port}/models")
    assert [model["digest"] for model in reply.json()["data"]] == ["bbb2"]
