"""How one question is asked, against a stub server (faults have to be forced)."""

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest
from fastapi.responses import JSONResponse
from hypothesis import given
from hypothesis import strategies as st

from contract import HeldLine, PromptFormat, parse_problems
from orchestrator.coordination.leases import LeaseLostError
from orchestrator.coordination.metering import Meter
from orchestrator.errors import OtherModelServedError
from orchestrator.jobs.asked import Asked
from orchestrator.jobs.records import Answer, Drawn, JobSettings
from orchestrator.model import find_model
from orchestrator.settings import Settings
from orchestrator.worker.asking import Server
from orchestrator.worker.connections import connections
from orchestrator.worker.plan import option_order
from orchestrator.worker.sampling import Sampler
from problem_files import problem_file
from stub_server import StubServer, token

ASKED = Asked(parse_problems(problem_file(1))[0], 0)


def ask_all(settings: Settings, questions: list[Asked], **chosen: Any) -> list[Answer]:
    async def run() -> list[Answer]:
        async with connections(settings) as to_server:
            server = Server(to_server, find_model(settings), Meter())
            sampler = Sampler(server, JobSettings(**chosen))
            return await asyncio.gather(*map(sampler.answer, questions))

    return asyncio.run(run())


def ask(settings: Settings, asked: Asked = ASKED, **chosen: Any) -> Answer:
    (answer,) = ask_all(settings, [asked], **chosen)
    return answer


def without_logprobs(body: dict[str, Any]) -> None:
    """A server that ignores the request for log-probabilities."""
    body.pop("logprobs", None)


def by_seed(*texts: str) -> Any:
    """A reply function that gives the n-th text for the n-th new seed."""
    rest, seeds = iter(texts), {}

    def reply(prompt: str, seed: int) -> str:
        if seed not in seeds:
            seeds[seed] = next(rest)
        return seeds[seed]

    return reply


def test_two_equal_samples_settle_a_vote_of_three_in_one_request(
    settings: Settings, server: StubServer
) -> None:
    server.reply = lambda prompt, seed: "答案是：B"
    answer = ask(settings)
    assert (answer.answer, answer.agreement, answer.tally) == ("B", 1.0, {"B": 2})
    assert (answer.flags, answer.samples_saved, len(server.requests)) == (("early_stop",), 1, 1)


def test_extra_body_is_part_of_every_request(settings: Settings, server: StubServer) -> None:
    extra = {"chat_template_kwargs": {"enable_thinking": False}, "top_k": 20}
    ask(settings.model_copy(update={"extra_body": extra}))
    assert server.requests
    assert all(extra.items() <= request.items() for request in server.requests)


def test_every_sampling_value_is_sent(settings: Settings, server: StubServer) -> None:
    server.reply = lambda prompt, seed: "答案是：B"
    ask(settings, temperature=0.3, top_p=0.9, max_tokens=77, seed=5)
    (request,) = server.requests
    assert (request["temperature"], request["top_p"], request["max_tokens"]) == (0.3, 0.9, 77)
    assert request["n"] == 2
    assert isinstance(request["seed"], int)


def test_a_samples_seed_does_not_depend_on_its_round(
    settings: Settings, server: StubServer
) -> None:
    ask(settings, samples=5, early_stop=True)
    early = {seed for _, seed in server.samples}
    server.samples.clear()
    ask(settings, samples=5, early_stop=False)
    assert early <= {seed for _, seed in server.samples}
    server.samples.clear()
    ask(settings, samples=5, seed=1)
    assert not early & {seed for _, seed in server.samples}


def test_an_invalid_sample_is_drawn_again_with_another_seed(
    settings: Settings, server: StubServer
) -> None:
    server.reply = by_seed("答案是：A", "不知道。", "答案是：A")
    answer = ask(settings)
    assert answer.flags == ("early_stop", "resampled")
    assert [(s.slot, s.attempt, s.label) for s in answer.samples] == [
        (0, 0, "A"),
        (1, 0, None),
        (1, 1, "A"),
    ]


def test_a_tie_is_broken_by_further_samples_and_flagged(
    settings: Settings, server: StubServer
) -> None:
    server.reply = by_seed("答案是：A", "答案是：B", "答案是：B")
    answer = ask(settings, samples=2)
    assert (answer.answer, answer.tally) == ("B", {"A": 1, "B": 2})
    assert answer.flags == ("tie",)


def test_without_a_valid_sample_a_reply_is_restricted_to_labels(
    settings: Settings, server: StubServer
) -> None:
    server.reply = lambda prompt, seed: "B" if prompt == "答案是：" else "不知道。"
    answer = ask(settings, max_resamples=1)
    assert (answer.answer, answer.agreement, answer.tally) == ("B", None, {})
    assert answer.flags == ("resampled", "forced")
    forced = server.requests[-1]
    assert forced["structured_outputs"] == {"choice": ["A", "B"]}
    assert forced["messages"][-1] == {"role": "assistant", "content": "答案是："}


def test_a_restricted_reply_begins_with_whole_tokens(
    settings: Settings, server: StubServer
) -> None:
    server.reply = lambda prompt, seed: " B" if prompt == "Answer:" else "不知道。"
    fmt = PromptFormat(answer_line="Answer: {label}")

    async def run() -> Answer:
        held = HeldLine(lead="Answer:", label=" {label}")
        async with connections(settings) as to_server:
            model = replace(find_model(settings), format=fmt, held=held)
            sampler = Sampler(Server(to_server, model, Meter()), JobSettings(max_resamples=0))
            return await sampler.answer(ASKED)

    answer = asyncio.run(run())
    assert (answer.answer, answer.samples[-1].text) == ("B", "Answer: B")
    assert server.requests[-1]["structured_outputs"] == {"choice": [" A", " B"]}


def test_a_question_without_any_label_gets_an_error(settings: Settings, server: StubServer) -> None:
    server.reply = lambda prompt, seed: "不知道。"
    server.fail = without_logprobs
    answer = ask(settings)
    assert answer.answer is None
    assert answer.error
    assert "forced" not in answer.flags


def test_the_sampler_waits_for_an_absent_server(settings: Settings, server: StubServer) -> None:
    server.reply = lambda prompt, seed: "答案是：A"
    server.fail = lambda body: JSONResponse({}, 503) if len(server.requests) < 5 else None
    assert ask(settings).answer == "A"


def test_a_refused_question_fails_alone(settings: Settings, server: StubServer) -> None:
    server.fail = lambda body: JSONResponse({"message": "longer than the model's context"}, 400)
    answer = ask(settings)
    assert answer.answer is None
    assert "longer than the model's context" in (answer.error or "")


@pytest.mark.parametrize("status", [401, 403, 429, 500])
def test_a_temporary_error_is_waited_out(
    settings: Settings, server: StubServer, status: int
) -> None:
    server.reply = lambda prompt, seed: "答案是：A"
    server.fail = lambda body: JSONResponse({}, status) if len(server.requests) < 3 else None
    assert ask(settings).answer == "A"


def test_other_weights_after_a_restart_stop_the_sampling(
    settings: Settings, server: StubServer
) -> None:
    server.served = "other"
    server.fail = lambda body: JSONResponse({"message": "no such model"}, 404)
    with pytest.raises(OtherModelServedError):
        ask(settings)


def test_an_internal_error_fails_its_question_and_is_logged_once(
    settings: Settings, server: StubServer, capsys: pytest.CaptureFixture[str]
) -> None:
    # a pattern without a group; no contract can have one
    broken = PromptFormat().model_copy(update={"label_patterns": ("答案",)})
    model = replace(find_model(settings), format=broken)

    async def run() -> list[Answer]:
        async with connections(settings) as to_server:
            sampler = Sampler(Server(to_server, model, Meter()), JobSettings())
            return [await sampler.answer(asked) for asked in many(3)]

    server.reply = lambda prompt, seed: "答案是：A"
    answers = asyncio.run(run())
    assert all(answer.answer is None for answer in answers)
    assert all("IndexError: no such group" in (answer.error or "") for answer in answers)
    assert capsys.readouterr().out.count("IndexError: no such group") == 1


def test_samples_drawn_before_are_not_drawn_again(settings: Settings, server: StubServer) -> None:
    whole = ask(settings, samples=5, early_stop=False)
    kept = tuple(sample for sample in whole.samples if sample.slot in (1, 2, 4))
    earlier = Drawn(id=whole.id, index=whole.index, drawn=kept)
    server.samples.clear()

    async def run() -> Answer:
        async with connections(settings) as to_server:
            sampler = Sampler(
                Server(to_server, find_model(settings), Meter()),
                JobSettings(samples=5, early_stop=False),
            )
            return await sampler.answer(ASKED, [earlier])

    again = asyncio.run(run())
    assert again.samples == whole.samples
    asked = {seed for _, seed in server.samples}
    assert asked == {sample.seed for sample in whole.samples if sample.slot in (0, 3)}


@pytest.mark.parametrize("permute", [False, True])
def test_an_interrupted_vote_continues_with_its_earlier_samples(
    settings: Settings, server: StubServer, permute: bool
) -> None:
    chosen = JobSettings(samples=6, permute_options=permute)
    whole = {a.id: a for a in ask_all(settings, many(6), **chosen.model_dump())}
    kept: list[Drawn] = []
    room = 0

    async def keep(drawn: Drawn) -> None:
        """Keep `room` samples. Then the worker has lost its lease, and notices at its next line."""
        nonlocal room
        if room == 0:
            raise LeaseLostError("killed")
        room -= 1
        kept.append(drawn)

    async def run(asked: Asked) -> Answer:
        async with connections(settings) as to_server:
            sampler = Sampler(Server(to_server, find_model(settings), Meter()), chosen)
            return await sampler.answer(asked, list(kept), keep)

    rounds = 0
    for asked in many(6):
        kept.clear()
        while True:
            server.samples.clear()
            known, room = {sample.seed for drawn in kept for sample in drawn.drawn}, 1
            try:
                answer = asyncio.run(run(asked))
            except LeaseLostError:
                rounds += 1
            else:
                break
            finally:
                assert not known & {seed for _, seed in server.samples}
        same = whole[answer.id]
        assert (answer.samples, answer.tally) == (same.samples, same.tally)
        assert (answer.answer, answer.flags) == (same.answer, same.flags)
        assert answer.prompt_tokens == same.prompt_tokens
    assert rounds > 6


def test_the_samples_that_end_a_vote_are_written_once(
    settings: Settings, server: StubServer
) -> None:
    server.reply = lambda prompt, seed: "答案是：A"
    kept: list[Drawn] = []

    async def keep(drawn: Drawn) -> None:
        kept.append(drawn)

    async def run() -> None:
        async with connections(settings) as to_server:
            sampler = Sampler(Server(to_server, find_model(settings), Meter()), JobSettings())
            await sampler.answer(ASKED, (), keep)

    asyncio.run(run())
    assert kept == []


THOUGHT = "<think>\n假设答案是：A，检验"


def reasoned(apart: str | None, text: str | None, finish_reason: str = "stop") -> JSONResponse:
    message = {"role": "assistant", "content": text, "reasoning_content": apart}
    choices = [{"index": i, "message": message, "finish_reason": finish_reason} for i in range(2)]
    return JSONResponse({"choices": choices})


@pytest.mark.parametrize(
    ("apart", "text", "finish_reason"),
    [(None, THOUGHT, "length"), ("假设答案是：A，检验", None, "length"), (None, THOUGHT, "stop")],
)
def test_no_label_is_read_from_cut_reasoning(
    settings: Settings, server: StubServer, apart: str, text: str, finish_reason: str
) -> None:
    server.fail = lambda body: (
        reasoned(apart, text, finish_reason) if "top_logprobs" not in body else None
    )
    answer = ask(settings, max_resamples=0)
    assert (answer.tally, answer.flags) == ({}, ("forced", "cut"))
    drawn = answer.samples[0]
    assert (drawn.label, drawn.reasoning, drawn.text) == (None, apart, text or "")


def test_the_answer_is_read_after_the_reasoning(settings: Settings, server: StubServer) -> None:
    server.fail = lambda body: reasoned("也许答案是：A", f"{THOUGHT}\n</think>\n因此选B。答案是：B")
    answer = ask(settings)
    assert (answer.answer, answer.tally, answer.flags) == ("B", {"B": 2}, ("early_stop",))
    assert {sample.reasoning for sample in answer.samples} == {"也许答案是：A"}


def test_a_server_that_ignores_n_is_asked_again_for_the_rest(
    settings: Settings, server: StubServer
) -> None:
    def one_choice(body: dict[str, Any]) -> None:
        body["n"] = 1

    server.fail = one_choice
    server.reply = lambda prompt, seed: "答案是：A"
    answer = ask(settings)
    assert [s.slot for s in answer.samples] == [0, 1]
    assert answer.samples[1].seed == answer.samples[0].seed + 1
    assert len(server.requests) == 2


def many(count: int) -> list[Asked]:
    return [Asked(problem, 0) for problem in parse_problems(problem_file(count, 1))]


def test_a_server_that_refuses_n_is_then_asked_one_by_one(
    settings: Settings, server: StubServer
) -> None:
    server.reply = lambda prompt, seed: "答案是：A"
    refusal = JSONResponse({"message": "n must be 1"}, 400)
    server.fail = lambda body: refusal if body["n"] > 1 else None
    first, *rest = many(8)
    answers = asyncio.run(one_then_all(settings, first, rest))
    assert all(answer.answer == "A" and len(answer.samples) == 2 for answer in answers)
    assert [body["n"] for body in server.requests].count(2) == 1
    seeds = [sample.seed for sample in answers[0].samples]
    assert seeds[1] == seeds[0] + 1


async def one_then_all(settings: Settings, first: Asked, rest: list[Asked]) -> list[Answer]:
    async with connections(settings) as to_server:
        sampler = Sampler(Server(to_server, find_model(settings), Meter()), JobSettings())
        return [await sampler.answer(first), *await asyncio.gather(*map(sampler.answer, rest))]


@pytest.mark.parametrize("unknown", ["refused", "passed over"])
def test_guided_choice_is_used_if_the_server_knows_only_that(
    settings: Settings, server: StubServer, unknown: str
) -> None:
    def old_server(body: dict[str, Any]) -> JSONResponse | None:
        held = body["messages"][-1]["role"] == "assistant"
        if held and "structured_outputs" in body and unknown == "refused":
            return JSONResponse({"message": "extra field"}, 400)
        body["messages"][-1]["content"] += "guided" if "guided_choice" in body else ""
        return None

    server.fail = old_server
    server.reply = lambda prompt, seed: "B" if prompt.endswith("guided") else "不知道。"
    answers = ask_all(settings, many(1), max_resamples=0)
    assert [(a.answer, a.flags) for a in answers] == [("B", ("forced",))]


def test_without_restricted_replies_the_likeliest_label_is_taken(
    settings: Settings, server: StubServer
) -> None:
    server.reply = lambda prompt, seed: "不知道。"
    (first, second) = (ask(settings, asked, max_resamples=0) for asked in many(2))
    assert (first.answer, second.answer) == ("B", "B")
    assert first.flags == ("forced",)
    assert first.samples[-1].text == "答案是：B"


def test_a_servers_abilities_are_probed_once(settings: Settings, server: StubServer) -> None:
    server.reply = lambda prompt, seed: "不知道。"
    first, *rest = many(4)
    answers = asyncio.run(one_then_all(settings, first, rest))
    assert all("forced" in answer.flags for answer in answers)
    assert sum("structured_outputs" in body for body in server.requests) == 1
    assert sum("guided_choice" in body for body in server.requests) == 1
    assert sum("top_logprobs" in body for body in server.requests) == 4


def test_a_question_without_any_text_fails_alone(settings: Settings, server: StubServer) -> None:
    """A content filter withholds all replies to one question, restricted ones too."""
    filtered = {"finish_reason": "content_filter", "message": {"content": None}}
    first, second = many(2)
    server.reply = lambda prompt, seed: "不知道。"

    def fail(body: dict[str, Any]) -> JSONResponse | None:
        if "第0题" in str(body["messages"]):
            return JSONResponse({"choices": [filtered] * body["n"]})
        if "structured_outputs" in body:
            return JSONResponse({"choices": [{"message": {"content": "A"}}]})
        return None

    server.fail = fail
    without, forced = asyncio.run(one_then_all(settings, first, [second]))
    assert "without text (finish_reason content_filter" in (without.error or "")
    assert forced.answer == "A"
    assert not any("guided_choice" in body for body in server.requests[-1:])


def test_a_vote_weighs_the_mean_probability_of_a_replys_tokens(
    settings: Settings, server: StubServer
) -> None:
    server.reply = by_seed("答案是：B", "答案是：B", "答案是：A")
    assert ask(settings).answer == "B"
    server.reply = by_seed("答案是：B", "答案是：B", "答案是：A")
    weighted = ask(settings, vote="weighted")
    # exp(-0.1) against twice exp(-1.0)
    assert weighted.answer == "A"
    assert weighted.tally == pytest.approx({"A": 0.904837, "B": 0.735759}, abs=1e-5)
    assert [sample.logprob for sample in weighted.samples] == [-1.0, -1.0, -0.1]


@pytest.mark.parametrize("vote", ["weighted", "confidence"])
def test_a_vote_that_needs_log_probabilities_says_so(
    settings: Settings, server: StubServer, vote: str
) -> None:
    refusal = JSONResponse({"error": {"message": "`logprobs` is not supported"}}, 400)
    server.fail = lambda body: refusal if "logprobs" in body else None
    needs = f"vote={vote} needs; post it with vote=plurality"
    assert needs in (ask(settings, vote=vote).error or "")
    server.fail = without_logprobs
    answer = ask(settings, vote=vote)
    assert answer.answer is None
    assert needs in (answer.error or "")


def in_tokens(sure: float, *, end: str = "<|im_end|>") -> Any:
    """The tokens of a reply: the label's has the log-probability `sure` if it is an A, and -0.1
    else; all others have -2.
    """

    def tokens(text: str) -> list[dict[str, Any]]:
        lead, label = text[:-1], text[-1]
        of_label = token(label, sure if label == "A" else -0.1)
        return [token(lead[:2], -2.0), token(lead[2:], -2.0), of_label, token(end, -2.0)]

    return tokens


def test_a_vote_by_confidence_weighs_the_tokens_of_the_label(
    settings: Settings, server: StubServer
) -> None:
    server.tokens_of = in_tokens(-1.0)
    server.reply = by_seed("答案是：A", "答案是：B", "答案是：A")
    answer = ask(settings, vote="confidence", samples=3)
    # exp(-0.1) against twice exp(-1.0)
    assert answer.answer == "B"
    assert answer.tally == pytest.approx({"B": 0.904837, "A": 0.735759}, abs=1e-5)
    assert [(s.answer_logprob, s.span) for s in answer.samples] == [
        (-1.0, "answer"),
        (-0.1, "answer"),
        (-1.0, "answer"),
    ]
    assert answer.samples[0].logprob == pytest.approx(-1.75)


@pytest.mark.parametrize(("temperature", "winner"), [(0.5, "B"), (1.0, "B"), (8.0, "A")])
def test_a_higher_temperature_makes_votes_more_alike(
    settings: Settings, server: StubServer, temperature: float, winner: str
) -> None:
    server.tokens_of = in_tokens(-1.0)
    server.reply = by_seed("答案是：A", "答案是：B", "答案是：A")
    answer = ask(settings, vote="confidence", vote_temperature=temperature)
    assert answer.answer == winner


def test_the_last_tokens_stand_in_if_the_servers_are_not_the_texts(
    settings: Settings, server: StubServer
) -> None:
    server.tokens_of = lambda text: [token(f"token_id:{n}", -n / 10) for n in range(4)]
    server.reply = lambda prompt, seed: "答案是：B"
    answer = ask(settings, vote="confidence")
    assert answer.answer == "B"
    assert [s.answer_logprob for s in answer.samples] == pytest.approx([-0.15, -0.15])
    assert {s.span for s in answer.samples} == {"tail"}


def test_a_sample_that_names_no_option_has_no_confidence(
    settings: Settings, server: StubServer
) -> None:
    server.reply = by_seed("答案是：A", "不知道。", "答案是：A")
    answer = ask(settings, vote="confidence")
    assert [(s.label, s.span) for s in answer.samples] == [
        ("A", "answer"),
        (None, None),
        ("A", "answer"),
    ]


def test_a_reply_held_to_the_labels_has_no_confidence(
    settings: Settings, server: StubServer
) -> None:
    server.reply = lambda prompt, seed: "B" if prompt == "答案是：" else "不知道。"
    answer = ask(settings, vote="confidence", max_resamples=0)
    assert answer.flags == ("forced",)
    assert answer.samples[-1].label == "B"
    assert answer.samples[-1].answer_logprob is None
    assert answer.samples[-1].span is None


def test_a_permuted_label_has_the_confidence_of_the_letter_in_its_reply(
    settings: Settings, server: StubServer
) -> None:
    server.tokens_of = in_tokens(-1.0)
    server.reply = lambda prompt, seed: "答案是：A"
    answer = ask(settings, vote="confidence", permute_options=True, samples=2, early_stop=False)
    assert {s.order for s in answer.samples} == {"AB", "BA"}
    assert {(s.answer_logprob, s.span) for s in answer.samples} == {(-1.0, "answer")}


@pytest.mark.parametrize("vote", ["weighted", "confidence"])
def test_asking_for_log_probabilities_changes_no_sample(
    settings: Settings, server: StubServer, vote: str
) -> None:
    """The same requests but for `logprobs`, so the same seeds and texts."""
    plain = ask(settings, samples=5, early_stop=False)
    asked = list(server.requests)
    server.requests.clear()
    weighed = ask(settings, samples=5, early_stop=False, vote=vote)
    drawn = [(s.seed, s.slot, s.attempt, s.text) for s in weighed.samples]
    assert drawn[:5] == [(s.seed, s.slot, s.attempt, s.text) for s in plain.samples][:5]
    assert [body | {"logprobs": True} for body in asked] == server.requests[: len(asked)]


OPTIONS = ("甲", "乙", "丙", "丁")


def question_with(options: tuple[str, ...]) -> Asked:
    row = {"problem": "p", "questions": [{"question": "q", "options": list(options)}]}
    return Asked(parse_problems(json.dumps(row).encode())[0], 0)


def test_permuted_options_are_mapped_back_before_the_vote(
    settings: Settings, server: StubServer
) -> None:
    def names_the_text(prompt: str, seed: int) -> str:
        line = next(line for line in prompt.splitlines() if line.endswith("丙"))
        return f"答案是：{line[0]}"

    server.reply = names_the_text
    answer = ask(
        settings, question_with(OPTIONS), permute_options=True, samples=4, early_stop=False
    )
    assert (answer.answer, answer.tally) == ("C", {"C": 4})
    assert len({sample.order for sample in answer.samples}) == 4
    assert {sample.text for sample in answer.samples} == {f"答案是：{x}" for x in "ABCD"}


def test_options_that_refer_to_one_another_keep_their_order(
    settings: Settings, server: StubServer
) -> None:
    server.reply = lambda prompt, seed: "答案是：C"
    asked = question_with(("甲", "乙", "A和B都对", "以上都不对"))
    answer = ask(settings, asked, permute_options=True, samples=3, early_stop=False)
    assert (answer.answer, answer.tally, answer.flags) == ("C", {"C": 3}, ("unpermuted",))
    assert {sample.order for sample in answer.samples} == {None}
    assert "A. 甲\nB. 乙\nC. A和B都对" in server.requests[0]["messages"][-1]["content"]
    plain = ask(settings, asked, samples=3, early_stop=False)
    assert plain.flags == ()


@given(
    options=st.lists(st.sampled_from("甲乙丙丁戊"), min_size=1, max_size=8),
    seed=st.integers(0, 2**31 - 1),
)
def test_permutations_put_each_option_once_at_each_place(options: list[str], seed: int) -> None:
    asked = question_with(tuple(options))
    orders = [option_order(seed, asked, slot) for slot in range(len(options))]
    assert all(sorted(order) == list(range(len(options))) for order in orders)
    if len(set(options)) == len(options):
        assert all(len(set(place)) == len(options) for place in zip(*orders, strict=True))
    for order in orders:
        for text in options:
            same = [i for i in order if options[i] == text]
            assert same == sorted(same)
