"""THINKING in the words of several servers."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.responses import Response

from makers import MAKERS, ask, openai_error
from orchestrator.settings import Settings
from orchestrator.thinking import Thinking, thinking_fields
from orchestrator.worker.learning import Learned
from stub_server import StubServer


def thinking(settings: Settings, chosen: Thinking, **extra: Any) -> Settings:
    return settings.model_copy(update={"thinking": chosen, "extra_body": extra})


def test_a_model_is_left_its_own_way_by_default(settings: Settings, server: StubServer) -> None:
    assert (settings.thinking, thinking_fields("auto")) == ("auto", {})
    ask(settings, Learned(), 1)
    assert not any("reasoning_effort" in body for body in server.requests)


@pytest.mark.parametrize(
    ("chosen", "thinks", "effort"),
    [("on", True, "medium"), ("off", False, "none"), (1024, True, "low"), (9000, True, "high")],
)
def test_every_known_field_asks_for_the_same(
    settings: Settings, server: StubServer, chosen: Thinking, effort: str, *, thinks: bool
) -> None:
    ask(thinking(settings, chosen), Learned(), 1)
    for body in server.requests:
        assert body["chat_template_kwargs"]["enable_thinking"] is thinks
        assert body["chat_template_kwargs"]["thinking"] is thinks
        assert (body["enable_thinking"], body["reasoning_effort"]) == (thinks, effort)


def test_a_budget_is_sent_in_every_known_field() -> None:
    fields = thinking_fields(2000)
    assert fields["thinking_budget"] == fields["thinking_token_budget"] == 2000
    assert fields["chat_template_kwargs"]["thinking_budget"] == 2000


def test_extra_body_takes_the_place_of_a_field(settings: Settings, server: StubServer) -> None:
    template = {"enable_thinking": True}
    ask(thinking(settings, "off", chat_template_kwargs=template), Learned(), 1)
    for body in server.requests:
        assert body["chat_template_kwargs"] == template
        assert body["enable_thinking"] is False


@pytest.mark.parametrize("name", ["OpenAI, reasoning", "Mistral", "Gemini, Gemma"])
def test_what_a_maker_does_not_know_is_left_out(
    settings: Settings, server: StubServer, name: str
) -> None:
    server.reply = lambda prompt, seed: "答案是：B"
    server.fail = MAKERS[name].refuses
    known = Learned()
    answers = ask(thinking(settings, 2000), known)
    assert [answer.answer for answer in answers] == ["B"] * 3
    without = {adaptation.parameter for adaptation in known.known}
    assert {"chat_template_kwargs", "enable_thinking", "thinking_budget"} <= without
    assert ("reasoning_effort" in without) is (name == "Mistral")
    server.requests.clear()
    ask(thinking(settings, 2000), known)
    assert len(server.requests) <= 6  # nothing is asked about again


def test_a_refused_effort_is_left_out(settings: Settings, server: StubServer) -> None:
    """GPT-5 knows no "none", and lists what it knows."""

    def refuses(body: dict[str, Any]) -> Response | None:
        if body.get("reasoning_effort") != "none":
            return None
        words = "Unsupported value: 'none'. Supported values are: 'minimal', 'low' and 'high'."
        return openai_error(words, "reasoning_effort", "unsupported_value")

    server.reply = lambda prompt, seed: "答案是：B"
    server.fail = refuses
    known = Learned()
    assert ask(thinking(settings, "off"), known, 1)[0].answer == "B"
    (entry,) = known.record("http://one/v1/")
    assert (entry.parameter, "THINKING may have no effect" in entry.note) == (
        "reasoning_effort",
        True,
    )


def test_a_server_that_thinks_in_streams_alone_names_the_setting(
    settings: Settings, server: StubServer
) -> None:
    def refuses(body: dict[str, Any]) -> Response | None:
        if body.get("enable_thinking") is False:
            return None
        return openai_error("parameter.enable_thinking must be set to false without streams")

    server.reply = lambda prompt, seed: "答案是：B"
    server.fail = refuses
    assert (ask(settings, Learned(), 1)[0].error or "").endswith("set THINKING=off")
    assert ask(thinking(settings, "off"), Learned(), 1)[0].answer == "B"
