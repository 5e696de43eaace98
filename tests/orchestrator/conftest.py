"""A stub model server and settings that point at it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.settings import Settings
from stub_server import MODEL, StubServer


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
