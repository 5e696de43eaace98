"""The checks of a model server, with a stub, because wrong servers have to be forced."""

import asyncio
from typing import Any

import pytest
from starlette.responses import HTMLResponse, JSONResponse, Response

from contract import HeldLine, Probe, PromptFormat, Sampling
from contract.tenancy import trainer_at_work
from orchestrator.errors import WaitingForModelError
from orchestrator.model import ServedModel, check_server, find_model, make_client
from orchestrator.settings import Settings
from stub_server import MODEL, StubServer

FMT = PromptFormat()
PROBE = Probe(messages=({"role": "user", "content": "?"},), token_ids=(1, 2, 3))


def check(settings: Settings, name: str = MODEL) -> str | None:
    model = ServedModel(name, "digest", FMT, Sampling(), PROBE, HeldLine.of(FMT))

    async def run() -> str | None:
        async with make_client(settings).with_options(max_retries=0) as client:
            return await check_server(client, model)

    return asyncio.run(run())


def test_a_server_that_tokenizes_the_probe_correctly_is_accepted(
    settings: Settings, server: StubServer
) -> None:
    server.tokens = [1, 2, 3]
    assert check(settings) is None


@pytest.mark.parametrize(
    ("tokens", "where"), [([1, 9, 3], "at token 1"), ([1, 2], r"in length \(2, trained 3\)")]
)
def test_a_server_with_another_chat_template_is_not_asked(
    settings: Settings, server: StubServer, tokens: list[int], where: str
) -> None:
    server.tokens = tokens
    with pytest.raises(WaitingForModelError, match=f"differently {where}"):
        check(settings)


def test_a_server_without_a_tokenize_call_is_accepted_unchecked(settings: Settings) -> None:
    assert check(settings) == "/tokenize answers 404"


@pytest.mark.parametrize(
    "reply",
    [
        JSONResponse({"count": 3, "ids": [1, 2, 3]}),
        JSONResponse({"tokens": []}),
        JSONResponse({"tokens": [{"id": 1, "piece": "a"}]}),
        JSONResponse(None),
        JSONResponse({"error": "no such method"}, 405),
        JSONResponse({"error": "not here"}, 501),
        JSONResponse({"error": "not allowed"}, 403),
        HTMLResponse("<html>welcome</html>"),
        Response(b"{oops", media_type="application/json"),
        Response(b"", media_type="application/json"),
    ],
)
def test_an_unusable_tokenize_reply_is_reported(
    settings: Settings, server: StubServer, reply: Response
) -> None:
    server.instead["/tokenize"] = reply
    assert "/tokenize answers" in (check(settings) or "")


def test_a_tokenize_call_that_is_busy_is_waited_for(settings: Settings, server: StubServer) -> None:
    server.instead["/tokenize"] = JSONResponse({"error": {"message": "loading"}}, 503)
    with pytest.raises(WaitingForModelError, match=r"answers 503: .*loading"):
        check(settings)


UNUSABLE = [
    HTMLResponse("<html>welcome</html>"),
    JSONResponse(None),
    JSONResponse([]),
    JSONResponse({"data": [{"name": "stub"}]}),
    Response(b"", media_type="application/json"),
]


@pytest.mark.parametrize("reply", UNUSABLE)
def test_an_unreadable_list_of_models_makes_the_job_wait(
    settings: Settings, server: StubServer, reply: Response
) -> None:
    server.instead["/v1/models"] = reply
    with pytest.raises(WaitingForModelError, match="does not answer /models with a list"):
        check(settings)


def test_a_refusal_of_another_model_names_the_served_one(settings: Settings) -> None:
    with pytest.raises(WaitingForModelError, match="serves stub, not other@digest"):
        check(settings, "other@digest")


def test_only_a_few_of_many_served_models_are_named(settings: Settings, server: StubServer) -> None:
    """OpenRouter lists hundreds of models, and a note must stay readable."""
    listed = [{"id": f"maker/model-{i}"} for i in range(400)] + [{"id": "stub:latest"}]
    server.instead["/v1/models"] = JSONResponse({"data": listed})
    plain = find_model(settings)

    async def run() -> None:
        async with make_client(settings) as client:
            await check_server(client, plain)

    named = r"serves stub:latest, .* and 396 others, not stub: set MODEL_NAME to a name"
    with pytest.raises(WaitingForModelError, match=named) as raised:
        asyncio.run(run())
    assert len(str(raised.value)) < 300


@pytest.mark.parametrize("status", [404, 405, 501])
def test_a_server_without_a_list_is_asked_for_a_reply(
    settings: Settings, server: StubServer, status: int
) -> None:
    server.instead["/v1/models"] = JSONResponse({"error": "no such call"}, status)
    check(settings)
    server.fail = lambda body: JSONResponse({"error": "no such model"}, 404)
    with pytest.raises(WaitingForModelError, match="lists no models and takes no chat request"):
        check(settings)


def test_a_better_address_is_looked_for_once(settings: Settings, server: StubServer) -> None:
    """A waiting worker asks every two seconds."""
    server.instead["/v1/models"] = JSONResponse({"error": "no such call"}, 404)
    server.fail = lambda body: JSONResponse({"error": "no such model"}, 404)
    plain = find_model(settings)
    asked: list[str] = []

    async def note(request: Any) -> None:
        asked.append(request.url.path)

    async def run() -> None:
        async with make_client(settings) as client:
            client._client.event_hooks = {"request": [note], "response": []}
            for _ in range(3):
                with pytest.raises(WaitingForModelError, match="lists no models"):
                    await check_server(client, plain)

    asyncio.run(run())
    assert asked.count("/v1/models") == 3
    others = [path for path in asked if path not in ("/v1/models", "/v1/chat/completions")]
    assert others
    assert len(others) == len(set(others))


def test_a_server_that_is_not_there_is_waited_for(settings: Settings, server: StubServer) -> None:
    server.stop()
    with pytest.raises(WaitingForModelError, match="does not answer"):
        check(settings)


def test_without_a_published_model_the_trainer_is_named(settings: Settings) -> None:
    published = settings.model_copy(update={"model_contract": "published"})
    with pytest.raises(WaitingForModelError, match="run the trainer first"):
        find_model(published)
    at_work = pytest.raises(
        WaitingForModelError, match=r"published in .* yet: a trainer is at work"
    )
    with trainer_at_work(settings.models_dir), at_work:
        find_model(published)
    with pytest.raises(ValueError, match="rows"), trainer_at_work(settings.models_dir):
        raise ValueError("no rows")
    with pytest.raises(WaitingForModelError, match="the trainer ended without a model: no rows"):
        find_model(published)
