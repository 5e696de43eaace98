"""A wrong INFERENCE_URL: the note of a waiting job says what to write instead."""

from __future__ import annotations

import asyncio
import re

import pytest
from starlette.responses import HTMLResponse

from contract import Sentence
from orchestrator import model as model_module
from orchestrator.addresses import beyond_the_container, other_addresses
from orchestrator.coordination.waiting import read_waits
from orchestrator.errors import WaitingForModelError
from orchestrator.model import check_server, find_model, make_client
from orchestrator.settings import Settings
from problem_files import problem_file
from stub_server import StubServer, openai_refusal
from workers import Bench, until

AWAY = Sentence("server-away", "no reply")


def fault(settings: Settings, url: str) -> str:
    """The reason why the server at `url` may not be asked."""
    remote = settings.model_copy(update={"inference_url": url})

    async def run() -> None:
        async with make_client(remote).with_options(max_retries=0) as client:
            await check_server(client, find_model(remote))

    with pytest.raises(WaitingForModelError) as raised:
        asyncio.run(run())
    return str(raised.value)


@pytest.mark.parametrize(
    "path", ["", "/", "/v1/chat/completions", "/v1/models", "/v2", "/api/v1/chat"]
)
def test_a_wrong_path_is_answered_with_the_right_address(
    settings: Settings, server: StubServer, path: str
) -> None:
    wrong = server.url.removesuffix("/v1") + path
    assert fault(settings, wrong).endswith(f"set INFERENCE_URL={server.url}")


def test_a_page_at_the_address_is_answered_with_the_apis(
    settings: Settings, server: StubServer
) -> None:
    """LM Studio and many front ends answer any path with 200."""
    server.instead["/models"] = HTMLResponse("<h1>Welcome</h1>")
    told = fault(settings, server.url.removesuffix("/v1"))
    assert "Welcome" in told
    assert told.endswith(f"set INFERENCE_URL={server.url}")


def test_a_path_that_asks_for_a_key_is_the_apis(settings: Settings, server: StubServer) -> None:
    server.instead["/v1/models"] = openai_refusal("no key", 401)
    assert fault(settings, server.url.removesuffix("/v1")).endswith(server.url)


def test_no_address_is_proposed_that_lists_no_models(
    settings: Settings, server: StubServer
) -> None:
    server.instead["/v1/models"] = openai_refusal("not here", 404)
    told = fault(settings, server.url.removesuffix("/v1"))
    assert "look at MODEL_NAME, and at INFERENCE_URL" in told
    assert "set INFERENCE_URL=" not in told


@pytest.mark.parametrize(
    ("url", "likeliest"),
    [
        ("https://api.openai.com", "https://api.openai.com/v1"),
        ("https://api.groq.com", "https://api.groq.com/openai/v1"),
        ("https://openrouter.ai/v1", "https://openrouter.ai/api/v1"),
        ("https://me:secret@host:8443/x/v1/chat/completions", "https://host:8443/x/v1"),
        ("http://[::1]:11434", "http://[::1]:11434/v1"),
    ],
)
def test_the_likeliest_address_comes_first(url: str, likeliest: str) -> None:
    others = other_addresses(url)
    assert others[0] == likeliest
    assert url not in others
    assert not [other for other in others if "secret" in other]


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "127.1.2.3", "[::1]"])
def test_localhost_in_a_container_is_the_container(name: str) -> None:
    told = beyond_the_container(f"http://{name}:11434/v1", AWAY, contained=True)
    assert told.startswith("no reply; here ")
    assert "set INFERENCE_URL=http://host.docker.internal:11434/v1" in told
    assert beyond_the_container(f"http://{name}:11434/v1", AWAY, contained=False) == AWAY


def test_the_containers_host_must_listen_on_all_addresses() -> None:
    url = "http://host.docker.internal:11434/v1"
    assert "listen on 0.0.0.0" in beyond_the_container(url, AWAY, contained=True)
    outside = beyond_the_container(url, AWAY, contained=False)
    assert outside.endswith("set INFERENCE_URL=http://127.0.0.1:11434/v1")


def test_an_endpoint_elsewhere_gets_no_advice_about_containers() -> None:
    assert beyond_the_container("https://api.openai.com/v1", AWAY, contained=True) == AWAY


@pytest.mark.parametrize("contained", [True, False])
def test_a_refused_connection_in_a_container_is_explained(
    settings: Settings, server: StubServer, monkeypatch: pytest.MonkeyPatch, *, contained: bool
) -> None:
    monkeypatch.setattr(model_module, "in_container", lambda: contained)
    server.stop()
    told = fault(settings, server.url)
    assert "does not answer" in told
    assert ("host.docker.internal" in told) is contained


def test_a_waiting_jobs_note_has_the_right_address(settings: Settings, server: StubServer) -> None:
    wrong = settings.model_copy(update={"inference_url": server.url.removesuffix("/v1")})
    bench = Bench(wrong)
    try:
        job = bench.post(problem_file(1))
        bench.start_worker()
        until(lambda: job.id in read_waits(bench.redis))
        note = read_waits(bench.redis)[job.id]
        assert re.search(rf"set INFERENCE_URL={re.escape(server.url)}$", note)
    finally:
        bench.stop_workers()
