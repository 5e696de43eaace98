"""Proxies in the environment: near addresses use none, and an unusable one is named."""

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx2
import pytest
from pydantic import ValidationError

from orchestrator.errors import WaitingForModelError
from orchestrator.local.ports import answers
from orchestrator.model import check_server, find_model, make_client
from orchestrator.proxies import certificates, proxy_options
from orchestrator.settings import Settings
from orchestrator.worker.connections import NoReplyError, connections
from problem_files import problem_file
from stub_proxy import StubProxy, set_proxies, stub_proxy
from workers import Bench

UNREACHABLE = 4


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[StubProxy]:
    with stub_proxy() as stub:
        set_proxies(monkeypatch, http_proxy=stub.url, all_proxy=stub.url)
        yield stub


def quorum(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    argv = [sys.executable, "-m", "orchestrator.cli", *arguments]
    return subprocess.run(argv, cwd=folder, capture_output=True, text=True, env={**os.environ})


def test_a_job_from_file_to_submission_asks_no_proxy(
    proxy: StubProxy, bench: Bench, api: httpx2.Client, tmp_path: Path
) -> None:
    (tmp_path / "my.jsonl").write_bytes(problem_file(3))
    bench.start_worker()
    done = quorum(tmp_path, "--url", str(api.base_url), "submit", "my.jsonl", "--wait")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "my.submission.jsonl").exists()
    assert answers(f"{api.base_url}/healthz")  # as in local mode
    assert proxy.asked == []


def test_a_remote_model_server_is_asked_through_the_proxy(
    proxy: StubProxy, settings: Settings
) -> None:
    remote = settings.model_copy(update={"inference_url": "http://models.example/v1"})

    async def check() -> None:
        async with make_client(remote).with_options(max_retries=0) as client:
            await check_server(client, find_model(remote))

    with pytest.raises(WaitingForModelError):
        asyncio.run(check())
    assert proxy.asked == ["http://models.example/v1/models"]


@pytest.mark.parametrize("excluded", ["", "models.example"])
def test_chat_requests_go_through_the_proxy_too(
    proxy: StubProxy, settings: Settings, monkeypatch: pytest.MonkeyPatch, excluded: str
) -> None:
    monkeypatch.setenv("no_proxy", excluded)
    remote = settings.model_copy(update={"inference_url": "http://models.example/v1"})

    async def run() -> int | None:
        async with connections(remote) as to_server:
            with suppress(NoReplyError):  # there is no such host
                return (await to_server.post("chat/completions", {})).status
        return None

    if excluded:
        assert asyncio.run(run()) is None
        assert proxy.asked == []
    else:
        assert asyncio.run(run()) == 502
        assert proxy.asked == ["http://models.example/v1/chat/completions"]


BAD = [
    ("all_proxy", "socks5://127.0.0.1:1080", "set an HTTP proxy"),
    ("http_proxy", "gopher://127.0.0.1:1080", "has no usable address"),
    ("http_proxy", "127.0.0.1:port", "has no usable address"),
    ("https_proxy", "http://a..b:1", "has no usable address"),
    ("http_proxy", "http://", "has no usable address"),
]


@pytest.mark.parametrize(("name", "value", "says"), BAD)
def test_an_unusable_proxy_is_named(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, says: str
) -> None:
    set_proxies(monkeypatch, **{name: value})
    with pytest.raises(ValidationError, match=says):
        Settings(inference_url="http://models.example/v1")
    Settings(inference_url="http://inference:8000/v1")  # near addresses need no proxy


@pytest.mark.parametrize(("name", "value", "says"), BAD[:2])
def test_the_command_names_an_unusable_proxy_in_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, value: str, says: str
) -> None:
    set_proxies(monkeypatch, **{name: value})
    far = quorum(tmp_path, "--url", "http://quorum.example", "list")
    assert far.returncode == UNREACHABLE
    assert says in far.stderr
    assert len(far.stderr.splitlines()) == 1
    near = quorum(tmp_path, "--url", "http://127.0.0.1:1", "list", "--limit", "0")
    assert "proxy" not in near.stderr


def test_all_clients_of_a_process_share_the_certificates() -> None:
    near, distant = (proxy_options(f"http://{host}") for host in ("127.0.0.1", "example.org"))
    assert near["verify"] is distant["verify"] is certificates()
