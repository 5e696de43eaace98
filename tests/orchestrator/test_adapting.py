"""What an endpoint refuses is found out once, and left out or renamed."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from starlette.responses import JSONResponse, Response

from makers import MAKERS, ask, echoed, has_system, openai_error
from orchestrator.adapting import NEARLY_GREEDY, Adaptation, adapted, learned
from orchestrator.jobs.records import JobSettings
from orchestrator.settings import Settings
from orchestrator.worker.learning import Learned
from problem_files import problem_file
from stub_server import StubServer
from workers import Bench

BODY: dict[str, Any] = {
    "model": "m",
    "messages": [
        {"role": "system", "content": "Answer the question."},
        {"role": "user", "content": "Does a seed grow? Is temperature not supported?"},
    ],
    "temperature": 0.7,
    "top_p": 1.0,
    "max_tokens": 512,
    "n": 1,
    "seed": 7,
}
HELD: dict[str, Any] = {
    "add_generation_prompt": False,
    "continue_final_message": True,
    "logprobs": True,
}
HINTS: dict[str, Any] = {
    "reasoning_effort": "none",
    "chat_template_kwargs": {"enable_thinking": False},
}


def refused(message: str, param: Any = None, **added: Any) -> tuple[bytes, dict[str, Any]]:
    error = {"message": message, "type": "invalid_request_error", "param": param}
    return json.dumps({"error": error}).encode(), added


def raw(found: object, **added: Any) -> tuple[bytes, dict[str, Any]]:
    text = found if isinstance(found, str) else json.dumps(found)
    return text.encode(), added


def extra(*names: str) -> list[dict[str, Any]]:
    return [{"type": "extra_forbidden", "loc": ["body", name], "input": 0} for name in names]


SEED = Adaptation("seed")
RANDOM_SEED = Adaptation("seed", "random_seed")
REFUSALS = [
    # max_tokens
    (
        refused("'max_tokens' is not supported here. Use 'max_completion_tokens'.", "max_tokens"),
        Adaptation("max_tokens", "max_completion_tokens"),
    ),
    (
        refused("Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."),
        Adaptation("max_tokens", "max_completion_tokens"),
    ),
    # temperature and top_p
    (
        refused("Unsupported value: only the default (1) value is supported.", "temperature"),
        Adaptation("temperature"),
    ),
    (refused("'temperature' is not supported with this model."), Adaptation("temperature")),
    (refused("Model incompatible request argument: temperature"), Adaptation("temperature")),
    (refused("`temperature` is deprecated for this model."), Adaptation("temperature")),
    (refused("invalid temperature: only 1 is allowed for this model"), Adaptation("temperature")),
    (
        refused("`temperature` must be strictly positive", temperature=0.0),
        NEARLY_GREEDY,
    ),
    (refused("'top_p' is not supported with this model", "top_p"), Adaptation("top_p")),
    (refused("`temperature` and `top_p` cannot both be specified"), Adaptation("top_p")),
    (raw({"error": "`top_p` must be > 0.0 and < 1.0"}), Adaptation("top_p", value=1.0)),
    # seed
    (raw({"message": {"detail": extra("seed")}}), Adaptation("seed", "random_seed")),
    (raw({"error": {"details": extra("seed")}}), Adaptation("seed", "random_seed")),
    (raw({"detail": extra("random_seed")}, random_seed=7), Adaptation("random_seed")),
    (raw([{"error": {"message": 'Unknown name "seed": Cannot find field.'}}]), Adaptation("seed")),
    (refused("Unrecognized request argument supplied: seed"), Adaptation("seed")),
    (raw({"error": {"message": "property 'seed' is unsupported"}}), Adaptation("seed")),
    (raw("unsupported parameter: seed"), Adaptation("seed")),
    (raw({"error": {"message": "不支持参数 seed"}}), Adaptation("seed")),
    (
        raw({"error": {"message": 'Upstream: {"error": {"message": "unknown", "param": "seed"}}'}}),
        Adaptation("seed"),
    ),
    (
        raw(
            {"object": "error", "message": "[{'type': 'extra_forbidden', 'loc': ('body', 'seed')}]"}
        ),
        Adaptation("seed", "random_seed"),
    ),
    # n
    (raw({"detail": extra("n")}), Adaptation("n")),
    (refused("property 'n' is unsupported"), Adaptation("n")),
    # the system role
    (
        refused("'messages[0].role' does not support 'system' here.", "messages[0].role"),
        Adaptation("system"),
    ),
    (refused("Developer instruction is not enabled for models/gemma-3"), Adaptation("system")),
    (raw({"message": "System role not supported"}), Adaptation("system")),
    (raw({"message": "Only user and assistant roles are supported!"}), Adaptation("system")),
    (refused('messages: Unexpected role "system". Use the parameter.'), Adaptation("system")),
    (
        raw({"message": "Conversation roles must alternate user/assistant/user/assistant/..."}),
        Adaptation("system"),
    ),
    # replies that go on, and thinking
    (
        refused("Unrecognized arguments supplied: add_generation_prompt, logprobs", **HELD),
        Adaptation("add_generation_prompt"),
    ),
    (refused("unknown field continue_final_message", **HELD), Adaptation("continue_final_message")),
    (
        refused("'reasoning_effort' must be one of low, high", "reasoning_effort", **HINTS),
        Adaptation("reasoning_effort"),
    ),
    (refused("no parameter reasoningEffort here", **HINTS), Adaptation("reasoning_effort")),
    (
        refused("Unknown parameter: 'chat_template_kwargs'.", **HINTS),
        Adaptation("chat_template_kwargs"),
    ),
    # in other makers' forms
    (
        refused("Argument not supported on this model: reasoningEffort", **HINTS),
        Adaptation("reasoning_effort"),
    ),
    (refused("The model doesn't support the temperature field."), Adaptation("temperature")),
    (refused("m does not support parameters: ['seed'], for model=m"), Adaptation("seed")),
    (refused("got an unexpected keyword argument 'seed'"), Adaptation("seed")),
    (raw({"detail": "Additional properties are not allowed ('seed' was unexpected)"}), SEED),
    (raw({"message": "body.seed: Extra inputs are not permitted"}), RANDOM_SEED),
    (raw({"message": "参数seed不支持"}), SEED),
    (
        raw("Error code: 400 - {'error': {'message': \"'seed' is unknown\", 'param': 'seed'}}"),
        SEED,
    ),
]


@pytest.mark.parametrize(("refusal", "expected"), REFUSALS)
def test_a_refusal_names_what_to_change(
    refusal: tuple[bytes, dict[str, Any]], expected: Adaptation
) -> None:
    words, added = refusal
    assert learned({**BODY, **added}, words) == expected


KEPT = [
    # a length that the user can change
    refused("max_tokens is too large: 99999. This model supports at most 4096", "max_tokens"),
    refused("'max_tokens' or 'max_completion_tokens' is too large: 4096. The context length is 99"),
    refused("This model's maximum context length is 4096 tokens, which is not enough"),
    refused("Could not finish because max_tokens was reached. Higher max_tokens is not allowed"),
    # a value that the user chose
    refused("temperature: Input should be less than or equal to 1.5", "temperature"),
    refused("`top_p` must be > 0.0 and < 1.0", top_p=2.0),
    refused("n: at most 8", "n", n=9),
    refused("'n' is not supported", "n", n=2),
    # what the request is nothing without
    refused("`logprobs` is not supported with this model", **HELD),
    refused("unknown field structured_outputs", structured_outputs={}),
    refused("The model `m` does not support this", "model"),
    # a parameter's name in a sentence about something else
    refused("content that is not allowed: 'When the temperature of the gas rises sl...'"),
    refused("content that is not allowed: When the temperature of the gas rises sl..."),
    refused("prompt not supported: which seed germinates first"),
    refused("prompt not supported: seed germinates faster in light"),
    refused("Unexpected temperature in the furnace"),
    refused(
        "image inputs are not supported for this model; SamplingParams(n=1, temperature=0.7, "
        "stop=[], guided=Guided(a=1), seed=7)"
    ),
    refused(
        "It does not support prompts that long. SamplingParams(n=1, temperature=0.0, top_p=1",
        temperature=0.0,
    ),
    refused('Refused: \\"unsupported parameter: seed grows\\"'),
    raw({"error": {"message": "not supported", "prompt": "unsupported parameter: seed"}}),
    # hints that the words only mention
    refused("Could not load the image", "reasoning_effort", **HINTS),
    refused("Out of memory; chat_template_kwargs={'enable_thinking': False}", **HINTS),
    # nothing of ours
    refused("Your prompt was refused by a filter"),
    refused("unsupported parameter: top_k"),
    raw({"error": {"message": "System message must be at the beginning."}}),
    raw(""),
    raw("null"),
    raw("{" * 5000),
    raw(b"\xff\xfe".decode("latin-1")),
]


@pytest.mark.parametrize("refusal", KEPT)
def test_a_refusal_of_something_else_changes_nothing(
    refusal: tuple[bytes, dict[str, Any]],
) -> None:
    words, added = refusal
    assert learned({**BODY, **added}, words) is None


def test_the_words_of_a_question_are_not_the_servers() -> None:
    assert learned(BODY, echoed(BODY)) is None
    quoting = refused(f"Not allowed: {BODY['messages'][1]['content']}")[0]
    assert learned(BODY, quoting) is None


@pytest.mark.parametrize(
    "echo",
    [
        lambda asked: json.dumps(asked)[1:-1],
        lambda asked: json.dumps(json.dumps(asked))[1:-1],
        lambda asked: asked.replace("\n", "\\n")[:50] + "...",
        lambda asked: "..." + asked[14:],
    ],
)
def test_a_question_is_not_read_if_escaped_or_shortened(echo: Callable[[str], str]) -> None:
    asked = 'Say "why":\nis the parameter temperature not supported by a 气体?\nunsupported: seed'
    body = {**BODY, "messages": [{"role": "user", "content": asked}]}
    assert learned(body, refused(f"This is not allowed: {echo(asked)}")[0]) is None


def test_the_words_of_a_servers_own_fault_are_not_read() -> None:
    words = b"Internal error: unsupported parameter: seed"
    assert learned(BODY, words, status=422) == SEED
    assert learned(BODY, words, status=500) is None
    field, _ = refused("Unknown parameter", "seed")
    assert learned(BODY, field, status=500) == SEED


def test_a_trained_model_keeps_its_system_role() -> None:
    refusal = raw({"message": "System role not supported"})[0]
    assert learned(BODY, refusal, fixed=("system",)) is None


def test_only_a_refused_value_is_left_out() -> None:
    without_1 = [Adaptation("top_p", value=1.0)]
    assert "top_p" not in adapted(BODY, without_1)
    assert adapted({**BODY, "top_p": 0.9}, without_1)["top_p"] == 0.9


def test_several_samples_are_never_asked_for_without_n() -> None:
    assert "n" not in adapted(BODY, [Adaptation("n")])
    assert adapted({**BODY, "n": 2}, [Adaptation("n")])["n"] == 2


def test_the_systems_text_goes_before_the_question() -> None:
    (message,) = adapted(BODY, [Adaptation("system")])["messages"]
    assert message["role"] == "user"
    assert message["content"].startswith("Answer the question.\n\nDoes a seed grow?")
    plain = {**BODY, "messages": [message]}
    assert adapted(plain, [Adaptation("system")]) == plain


@pytest.mark.parametrize("name", MAKERS)
def test_questions_are_answered_whatever_a_maker_refuses(
    settings: Settings, server: StubServer, name: str
) -> None:
    maker = MAKERS[name]
    server.reply = lambda prompt, seed: "答案是：B"
    server.fail = maker.refuses
    known = Learned()
    assert [answer.answer for answer in ask(settings, known)] == ["B"] * 3
    assert {a.parameter: a.instead for a in known.known} == maker.learned


def test_a_refused_parameter_is_asked_about_once(settings: Settings, server: StubServer) -> None:
    server.reply = lambda prompt, seed: "答案是：B"
    server.fail = MAKERS["Mistral"].refuses
    known = Learned()
    ask(settings, known)
    assert ["seed" in body for body in server.requests].count(True) == 1
    server.requests.clear()
    ask(settings, known)  # another shard of the same stay
    assert len(server.requests) == 3
    assert all("random_seed" in body for body in server.requests)


def test_a_server_that_refuses_everything_is_asked_a_few_times(
    settings: Settings, server: StubServer
) -> None:
    """Each parameter is adapted once, so it ends."""

    def refuses(body: dict[str, Any]) -> Response:
        name = next((n for n in ("seed", "top_p", "temperature") if n in body), "max_tokens")
        return openai_error(f"'{name}' is not supported, and neither is anything else", name)

    server.fail = refuses
    (answer,) = ask(settings, Learned(), 1)
    assert "the server refused it" in (answer.error or "")
    assert len(server.requests) < 10


@pytest.mark.parametrize(
    ("least", "expected"),
    [(0.001, NEARLY_GREEDY), (0.1, Adaptation("temperature", value=0.0))],
)
def test_a_refused_0_is_sent_as_nearly_0_before_it_is_left_out(
    settings: Settings, server: StubServer, least: float, expected: Adaptation
) -> None:
    server.reply = lambda prompt, seed: "答案是：B"
    server.fail = lambda body: (
        openai_error(f"`temperature` must be at least {least}")
        if body.get("temperature", 1) < least
        else None
    )
    known = Learned()
    answers = ask(settings.model_copy(update={"temperature": 0.0}), known, samples=1, temperature=0)
    assert [answer.answer for answer in answers] == ["B"] * 3
    assert known.known == (expected,)
    (entry,) = known.record("http://one/v1/")
    assert (entry.value, entry.sent) == (0.0, expected.sent)
    last = server.requests[-1]
    assert last.get("temperature") == expected.sent


def test_what_does_not_help_is_not_left_out_for_the_job(
    settings: Settings, server: StubServer
) -> None:
    """The first refusal sounds as if it were about temperature, and it is about the question."""
    server.reply = lambda prompt, seed: "答案是：B"
    refusals = [openai_error("temperature is not allowed as a subject")] * 2
    server.fail = lambda body: refusals.pop() if refusals else None
    known = Learned()
    first, *others = ask(settings, known, samples=1)
    assert "temperature is not allowed as a subject" in (first.error or "")
    assert [answer.answer for answer in others] == ["B", "B"]
    assert known.known == ()
    assert ["temperature" in body for body in server.requests] == [True, False, True, True]


def test_what_was_tried_is_forgotten_if_the_server_goes_away(
    settings: Settings, server: StubServer
) -> None:
    server.reply = lambda prompt, seed: "答案是：B"
    failures = [openai_error("busy", status=503), openai_error("seed is not supported")]
    server.fail = lambda body: failures.pop() if failures else None
    known = Learned()
    (answer,) = ask(settings, known, 1)
    assert answer.answer == "B"
    assert known.known == ()


def test_a_reply_is_restricted_by_a_schema_if_nothing_else_works(
    settings: Settings, server: StubServer
) -> None:
    """OpenAI's reasoning models: no continued reply, no choices, no log-probabilities."""
    refuses = MAKERS["OpenAI, reasoning"].refuses

    def answers(body: dict[str, Any]) -> Response | None:
        body["messages"][-1]["content"] += " schema" if "response_format" in body else ""
        return refuses(body)

    server.fail = answers
    server.reply = lambda prompt, seed: (
        '{"answer": "B"}' if prompt.endswith("schema") else "不知道。"
    )
    answer, *_ = ask(settings, Learned(), 1, max_resamples=0)
    assert (answer.answer, answer.flags, answer.error) == ("B", ("forced",), None)
    schema = server.requests[-1]["response_format"]["json_schema"]["schema"]
    assert schema["properties"]["answer"]["enum"] == ["A", "B"]
    assert server.requests[-1]["messages"][-1]["role"] == "user"


@pytest.mark.parametrize("reply", ["{}", "[]", "B", '{"answer": "Z"}', '{"answer": 1}', "{" * 9999])
def test_a_reply_that_keeps_to_no_schema_is_no_answer(
    settings: Settings, server: StubServer, reply: str
) -> None:
    server.fail = lambda body: (
        None if "response_format" in body or "n" not in body else MAKERS["Groq"].refuses(body)
    )
    server.reply = lambda prompt, seed: reply if reply != "B" else "不知道。"
    (answer,) = ask(settings, Learned(), 1, max_resamples=0, samples=1)
    assert answer.answer is None


def test_logprobs_that_are_not_allowed_fail_at_once(settings: Settings, server: StubServer) -> None:
    """OpenAI answers 403, which otherwise is waited out."""
    server.reply = lambda prompt, seed: "不知道。"
    server.fail = MAKERS["OpenAI, reasoning"].refuses
    (answer,) = ask(settings, Learned(), 1, max_resamples=0)
    assert "not allowed to request logprobs" in (answer.error or "")


def strict(body: dict[str, Any]) -> Response | None:
    """Refuses seed, max_tokens, temperature, n and the system role, one after the other."""
    for name in ("seed", "max_tokens", "temperature", "n"):
        if name in body:
            return openai_error(f"Unsupported parameter: '{name}' is not supported.", name)
    return openai_error("System role not supported") if has_system(body) else None


def test_a_job_on_a_strict_endpoint_completes_and_says_what_it_left_out(
    bench: Bench, server: StubServer
) -> None:
    server.fail = strict
    server.reply = lambda prompt, seed: "答案是：A"
    job = bench.post(problem_file(20))  # 40 questions in five shards
    bench.start_worker()
    bench.wait(job)
    assert {answer.answer for answer in bench.answers(job).values()} == {"A"}
    start = bench.store.started(job.id)
    assert start is not None
    left_out = {(entry.parameter, entry.instead) for entry in start.adapted}
    renamed = ("max_tokens", "max_completion_tokens")
    assert left_out == {
        ("seed", None),
        renamed,
        ("temperature", None),
        ("n", "n"),
        ("n", None),
        ("system", None),
    }
    assert {entry.url for entry in start.adapted} == {f"{server.url}/"}
    report = json.loads(bench.read(job, "report.json"))
    notes = {e["parameter"]: e["note"] for e in report["provenance"]["start"]["adapted"]}
    assert "cannot be repeated" in notes["seed"]
    assert "endpoint's default" in notes["temperature"]
    # four questions are asked at once, so each parameter is refused four times at the most
    assert sum("seed" in body for body in server.requests) <= 4


def test_another_worker_takes_over_what_is_known(bench: Bench, server: StubServer) -> None:
    server.fail = strict
    server.reply = lambda prompt, seed: "答案是：A"
    job = bench.post(problem_file(20), JobSettings(samples=1))
    bench.start_worker()
    bench.wait_for_answers(job, 8)
    bench.stop_workers()
    server.requests.clear()
    bench.start_worker()
    bench.wait(job, scan=True)
    assert not any("seed" in body for body in server.requests)


def test_what_an_error_names_is_left_out_for_that_endpoint_alone() -> None:
    known = Learned()
    known.add(Adaptation("seed"))
    entries = known.record("http://one/v1/")
    other, same = Learned(), Learned()
    other.know(entries, "http://two/v1/")
    same.know(entries, "http://one/v1/")
    assert (other.known, same.known) == ((), (Adaptation("seed"),))


def test_a_refused_field_of_extra_body_stays_a_refusal(
    settings: Settings, server: StubServer
) -> None:
    """Who set it wants it."""
    chosen = settings.model_copy(update={"extra_body": {"reasoning_effort": "low"}})
    refusal = JSONResponse({"error": {"message": "unknown parameter: reasoning_effort"}}, 400)
    server.fail = lambda body: refusal
    known = Learned()
    (answer,) = ask(chosen, known, 1)
    assert "reasoning_effort" in (answer.error or "")
    assert known.known == ()
