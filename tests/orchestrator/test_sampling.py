"""How one question is asked, against a stub server (faults have to be forced)."""

import asyncio
from typing import Any

import pytest
from fastapi.responses import JSONResponse

from contract import parse_problems
from orchestrator.errors import OtherModelServedError
from orchestrator.model import find_model, make_client
from orchestrator.records import Answer, JobSettings
from orchestrator.sampling import Sampler
from orchestrator.settings import Settings
from orchestrator.store import Asked
from problem_files import problem_file
from stub_server import StubServer

ASKED = Asked(parse_problems(problem_file(1))[0], 0)


def ask(settings: Settings, **chosen: Any) -> Answer:
    async def run() -> Answer:
        async with make_client(settings) as client:
            return await Sampler(client, find_model(settings), JobSettings(**chosen)).answer(ASKED)

    return asyncio.run(run())


def by_seed(*texts: str) -> Any:
    """A reply function: the n-th text for the n-th new seed."""
    rest, seeds = iter(texts), {}

    def reply(prompt: str, seed: int) -> str:
        if seed not in seeds:
            seeds[seed] = next(rest)
        return seeds[seed]

    return reply


def test_two_samples_that_agree_settle_a_vote_of_three_in_one_request(
    settings: Settings, server: StubServer
) -> None:
    server.reply = lambda prompt, seed: "答案是：B"
    answer = ask(settings)
    assert (answer.answer, answer.agreement, answer.tally) == ("B", 1.0, {"B": 2})
    assert (answer.flags, answer.samples_saved, len(server.requests)) == (("early_stop",), 1, 1)


def test_every_sampling_value_is_sent(settings: Settings, server: StubServer) -> None:
    server.reply = lambda prompt, seed: "答案是：B"
    ask(settings, temperature=0.3, top_p=0.9, max_tokens=77, seed=5)
    (request,) = server.requests
    assert (request["temperature"], request["top_p"], request["max_tokens"]) == (0.3, 0.9, 77)
    assert request["n"] == 2
    assert isinstance(request["seed"], int)


def test_a_sample_has_one_seed_whatever_round_draws_it(
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


def test_a_question_without_a_valid_sample_is_held_to_its_labels_and_flagged(
    settings: Settings, server: StubServer
) -> None:
    server.reply = lambda prompt, seed: "B" if prompt == "答案是：" else "不知道。"
    answer = ask(settings, max_resamples=1)
    assert (answer.answer, answer.agreement, answer.tally) == ("B", None, {})
    assert answer.flags == ("resampled", "forced")
    forced = server.requests[-1]
    assert forced["structured_outputs"] == {"choice": ["A", "B"]}
    assert forced["messages"][-1] == {"role": "assistant", "content": "答案是："}


def test_without_any_label_there_is_an_error_and_no_answer(
    settings: Settings, server: StubServer
) -> None:
    server.reply = lambda prompt, seed: "不知道。"
    answer = ask(settings)
    assert answer.answer is None
    assert answer.error
    assert "forced" not in answer.flags


def test_a_server_that_is_gone_for_a_while_is_waited_for(
    settings: Settings, server: StubServer
) -> None:
    server.reply = lambda prompt, seed: "答案是：A"
    server.fail = lambda body: JSONResponse({}, 503) if len(server.requests) < 5 else None
    assert ask(settings).answer == "A"


def test_a_question_the_server_refuses_is_an_error_of_that_question_alone(
    settings: Settings, server: StubServer
) -> None:
    server.fail = lambda body: JSONResponse({"message": "longer than the model's context"}, 400)
    answer = ask(settings)
    assert answer.answer is None
    assert "longer than the model's context" in (answer.error or "")


@pytest.mark.parametrize("status", [401, 403, 429, 500])
def test_an_error_that_may_pass_is_waited_for(
    settings: Settings, server: StubServer, status: int
) -> None:
    server.reply = lambda prompt, seed: "答案是：A"
    server.fail = lambda body: JSONResponse({}, status) if len(server.requests) < 3 else None
    assert ask(settings).answer == "A"


def test_a_server_restarted_with_other_weights_ends_the_asking(
    settings: Settings, server: StubServer
) -> None:
    server.fail = lambda body: JSONResponse({"message": "no such model"}, 404)
    with pytest.raises(OtherModelServedError):
        ask(settings)


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
