"""Fixtures: a stub model server, settings that point at it, workers and the API."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest
import structlog
import uvicorn

from contract import CONTRACT_FILE
from contract.published import make_current
from contracts import make_contract
from orchestrator.api.app import STOP_S, create_app
from orchestrator.settings import Settings
from stub_server import MODEL, StubServer
from workers import Bench

# as in the API itself; structlog's default takes seconds for a traceback
structlog.configure(
    processors=[
        *structlog.get_config()["processors"][:-1],
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback),
    ]
)


@pytest.fixture
def server() -> Iterator[StubServer]:
    stub = StubServer()
    stub.start()
    yield stub
    stub.stop()


def settings_for(server: StubServer, redis_url: str, folder: Path) -> Settings:
    return Settings(
        data_dir=folder / "data",
        models_dir=folder / "models",
        model_name=MODEL,
        model_contract="default",
        inference_url=server.url,
        panels_dir=folder / "panels",
        redis_url=redis_url,
        shard_questions=8,
        concurrency=4,
    )


@pytest.fixture
def settings(server: StubServer, redis_url: str, tmp_path: Path) -> Settings:
    return settings_for(server, redis_url, tmp_path)


@pytest.fixture
def bench(settings: Settings) -> Iterator[Bench]:
    bench = Bench(settings)
    yield bench
    bench.stop_workers()


@contextmanager
def serving(settings: Settings, port: int = 0) -> Iterator[int]:
    """The API in this process, on its own port."""
    config = uvicorn.Config(
        create_app(settings),
        host="127.0.0.1",
        port=port,
        log_level="error",
        timeout_graceful_shutdown=STOP_S,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()


@pytest.fixture
def api(settings: Settings) -> Iterator[httpx2.Client]:
    with (
        serving(settings) as port,
        httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client,
    ):
        yield client


@pytest.fixture
def two_models(settings: Settings) -> Path:
    """The folder of two published models, `aaa1` and the newer and current `bbb2`."""
    for number, digest in enumerate(("aaa1", "bbb2")):
        directory = settings.models_dir / "m" / digest
        directory.mkdir(parents=True)
        contract = make_contract(digest)
        created = f"2026-11-2{number}T00:00:00+00:00"
        provenance = contract.provenance.model_copy(update={"created": created})
        contract = contract.model_copy(update={"provenance": provenance})
        (directory / CONTRACT_FILE).write_bytes(contract.dump())
        (directory / "model.safetensors").write_bytes(b"x" * 1000)
    (directory / "metrics.jsonl").write_text('{"step": 0, "loss": 2.0}\n{"step": 1, "loss": 1.0}\n')
    (directory / "data.json").write_text('{"trained": 7, "keys_read": {}, "keys_trained": {}}')
    make_current(directory)
    return settings.models_dir / "m"
