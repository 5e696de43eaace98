"""Fixtures: a stub model server, settings that point at it, workers and the API."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
import uvicorn

from orchestrator.api import create_app
from orchestrator.settings import Settings
from stub_server import MODEL, StubServer
from workers import Bench


@pytest.fixture
def server() -> Iterator[StubServer]:
    stub = StubServer()
    stub.start()
    yield stub
    stub.stop()


@pytest.fixture
def settings(server: StubServer, redis_url: str, tmp_path: Path) -> Settings:
    return Settings(
        data_dir=tmp_path / "data",
        models_dir=tmp_path / "models",
        model_name=MODEL,
        model_contract="default",
        inference_url=server.url,
        redis_url=redis_url,
        shard_questions=8,
        concurrency=4,
    )


@pytest.fixture
def bench(settings: Settings) -> Iterator[Bench]:
    bench = Bench(settings)
    yield bench
    bench.stop_workers()


@pytest.fixture
def api(settings: Settings) -> Iterator[httpx2.Client]:
    """The API on a port of its own, in this process."""
    config = uvicorn.Config(create_app(settings), host="127.0.0.1", port=0, log_level="error")
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]
    with httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
        yield client
    server.should_exit = True
    thread.join()
