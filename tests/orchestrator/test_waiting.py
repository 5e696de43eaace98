"""A job says what it waits for, gives up replies that never come, and lets others go first."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx2
import pytest
from rq import SimpleWorker
from rq.serializers import JSONSerializer
from starlette.responses import JSONResponse, RedirectResponse, Response, StreamingResponse

from contract import Sentence, parse_problems
from orchestrator.coordination.metering import Meter
from orchestrator.coordination.queueing import QUEUES
from orchestrator.coordination.waiting import (
    KEY,
    Word,
    read_waits,
    waiting_for_model,
    waiting_for_room,
)
from orchestrator.jobs.asked import Asked
from orchestrator.jobs.records import Answer, JobSettings
from orchestrator.model import find_model
from orchestrator.settings import Settings
from orchestrator.worker import connections as connections_module
from orchestrator.worker import endpoint, turns
from orchestrator.worker.asking import Server
from orchestrator.worker.connections import connections
from orchestrator.worker.endpoint import Limits
from orchestrator.worker.sampling import Sampler
from problem_files import problem_file
from stub_server import StubServer
from workers import Bench, until

Fail = Callable[[dict[str, Any]], Response | None]


def questions(count: int) -> list[Asked]:
    return [Asked(problem, 0) for problem in parse_problems(problem_file(count, 1))]


@asynccontextmanager
async def asking(
    settings: Settings, limits: Limits | None = None, **chosen: Any
) -> AsyncIterator[Sampler]:
    async with connections(settings) as to_server:
        server = Server(to_server, find_model(settings), Meter(), limits)
        yield Sampler(server, JobSettings(**chosen))


async def told_by(sampler: Sampler) -> str:
    while (told := sampler.server.endpoint.waits_for()) is None:  # noqa: ASYNC110 # the clock decides
        await asyncio.sleep(0.05)
    return told


def ask(settings: Settings, count: int, limits: Limits | None = None) -> list[Answer]:
    async def run() -> list[Answer]:
        async with asking(settings, limits) as sampler:
            return [await sampler.answer(asked) for asked in questions(count)]

    return asyncio.run(run())


def of_first_question(response: Response) -> Fail:
    def fail(body: dict[str, Any]) -> Response | None:
        return response if "第0题" in body["messages"][-1]["content"] else None

    return fail


@pytest.mark.parametrize("status", [500, 501, 200])
def test_n_is_given_up_if_the_same_request_works_with_n_1(
    settings: Settings, server: StubServer, status: int
) -> None:
    """llama.cpp's server answers 500 to n > 1."""
    words = {"error": {"message": "Only one completion choice is allowed"}}
    server.fail = lambda body: JSONResponse(words, status) if body["n"] > 1 else None
    server.reply = lambda prompt, seed: "答案是：A"
    assert [answer.answer for answer in ask(settings, 3)] == ["A"] * 3
    assert [body["n"] for body in server.requests] == [2, 1, 1, 1, 1, 1, 1]


@pytest.mark.parametrize("status", [500, 502, 503])
def test_n_is_given_up_if_it_keeps_failing(
    settings: Settings, server: StubServer, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some servers and proxies report every error as an overload."""
    monkeypatch.setattr(endpoint, "FIRST_PAUSE_S", 0.0)
    server.fail = lambda body: JSONResponse({}, status) if body["n"] > 1 else None
    assert [answer.error for answer in ask(settings, 3)] == [None] * 3
    assert [body["n"] for body in server.requests if body["n"] > 1] == [2] * (
        1 if status == 500 else 3
    )


def test_an_overloaded_server_is_still_asked_for_several_samples(
    settings: Settings, server: StubServer
) -> None:
    server.fail = lambda body: JSONResponse({}, 503) if len(server.requests) == 1 else None
    ask(settings, 1)
    assert [body["n"] for body in server.requests][:2] == [2, 2]


@pytest.mark.parametrize("status", [500, 503, 200])
def test_a_request_that_alone_keeps_failing_is_given_up(
    settings: Settings, server: StubServer, status: int
) -> None:
    broken = JSONResponse({"error": {"message": "NaN in logits"}}, status)
    server.fail = of_first_question(broken)
    first, second = ask(settings, 2, Limits(2, 0))
    assert first.answer is None
    assert "NaN in logits" in (first.error or "")
    assert "given up after 3 tries" in (first.error or "")
    assert second.answer


def test_a_server_that_refuses_the_smallest_request_answers(
    settings: Settings, server: StubServer
) -> None:
    """A reasoning model may refuse to stop after one token. The only question is given up."""

    def fail(body: dict[str, Any]) -> Response:
        is_smallest = body["messages"][-1]["content"] == "?"
        words = {"error": {"message": "no room to answer" if is_smallest else "NaN in logits"}}
        return JSONResponse(words, 400 if is_smallest else 500)

    server.fail = fail
    (answer,) = ask(settings, 1, Limits(2, 0))
    assert "NaN in logits" in (answer.error or "")


def test_nothing_is_given_up_while_the_server_answers_nothing(
    settings: Settings, server: StubServer
) -> None:
    server.reply = lambda prompt, seed: "答案是：A"
    server.fail = lambda body: JSONResponse({}, 500) if len(server.requests) < 9 else None
    (answer,) = ask(settings, 1, Limits(1, 0))
    assert answer.answer == "A"


def test_a_failing_way_to_restrict_replies_is_skipped(
    settings: Settings, server: StubServer
) -> None:
    unknown = JSONResponse({"error": "no grammar"}, 500)
    server.fail = lambda body: unknown if "structured_outputs" in body else None
    server.reply = lambda prompt, seed: "不知道。"
    (answer,) = ask(settings, 1)
    assert (answer.answer, answer.flags) == ("B", ("resampled", "forced"))


WAITS = {
    "a wrong key": (JSONResponse({"error": {"message": "bad key"}}, 401), "bad key"),
    "no money": (JSONResponse({"error": {"message": "top up"}}, 402), "top up"),
    "an error with 200": (JSONResponse({"error": {"message": "Insufficient balance"}}), "balance"),
    "HTML with 200": (Response("<h1>Log in</h1>"), "Log in"),
    "an error of the server": (Response("<p>Bad gateway</p>", 502), "Bad gateway"),
    "no such method": (JSONResponse({"detail": "Not Allowed"}, 405), "look at INFERENCE_URL"),
    "a login page": (RedirectResponse("/login", 302), "redirected to http"),
    "no chat endpoint": (JSONResponse({"detail": "Not Found"}, 404), "lists stub but answers 404"),
}


@pytest.mark.parametrize("kind", WAITS)
def test_each_wait_is_reported_in_the_servers_words(
    settings: Settings, server: StubServer, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoint, "SILENT_FAILURE_S", 0.0)
    response, words = WAITS[kind]
    server.fail = lambda body: response

    async def run() -> Answer:
        async with asking(settings) as sampler:
            task = asyncio.create_task(sampler.answer(questions(1)[0]))
            told = await told_by(sampler)
            assert words in told
            assert sampler.server.endpoint.is_stuck
            server.fail = lambda body: None
            answer = await task
            assert sampler.server.endpoint.waits_for() is None
            return answer

    assert asyncio.run(run()).answer


def test_a_missing_reply_is_reported(
    settings: Settings, server: StubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoint, "SILENCE_S", 0.1)
    server.latency_s = 30

    async def run() -> None:
        async with asking(settings) as sampler:
            task = asyncio.create_task(sampler.answer(questions(1)[0]))
            told = await told_by(sampler)
            assert told.startswith("waiting for replies: 1 requests")
            assert not sampler.server.endpoint.is_stuck
            task.cancel()

    asyncio.run(run())


def dripping(part: bytes) -> Fail:
    """Replies to the first question never end."""

    async def drip() -> AsyncIterator[bytes]:
        while True:
            yield part
            await asyncio.sleep(0.05)

    return lambda body: of_first_question(StreamingResponse(drip()))(body)


def test_an_endless_reply_is_given_up(settings: Settings, server: StubServer) -> None:
    """Some servers send blank lines while a request waits."""
    server.fail = dripping(b"\n")
    limited = settings.model_copy(update={"request_timeout_s": 0.3})
    first, second = ask(limited, 2, Limits(2, 0))
    assert "no whole reply" in (first.error or "")
    assert second.answer


def test_a_reply_too_large_for_memory_is_aborted(
    settings: Settings, server: StubServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections_module, "LONGEST_BODY", 1 << 20)
    server.fail = dripping(b"x" * 300_000)
    first, second = ask(settings, 2, Limits(2, 0))
    assert "it sent more than 1 MiB" in (first.error or "")
    assert second.answer


def test_a_jobs_note_says_what_its_worker_waits_for(
    bench: Bench, api: httpx2.Client, server: StubServer
) -> None:
    server.fail = lambda body: JSONResponse({"error": {"message": "bad key"}}, 401)
    job = bench.post(problem_file(2))
    bench.start_worker()

    def note() -> str:
        return str(api.get(f"/jobs/{job.id}").json()["note"])

    until(lambda: "bad key" in note())
    assert "look at INFERENCE_API_KEY" in note()
    server.fail = lambda body: None
    until(lambda: api.get(f"/jobs/{job.id}").json()["status"] == "completed")
    assert note() == "None"
    until(lambda: read_waits(bench.redis) == {})


def test_a_workers_note_is_replaced_and_withdrawn(bench: Bench) -> None:
    word = Word(bench.redis, "job_1", 0)
    Word(bench.redis, "job_1", 1).say(waiting_for_room("none is left"))
    said = waiting_for_model(Sentence("server-is", "it is {state}", state="away"))
    word.say(said)
    read = read_waits(bench.redis)["job_1"]
    assert (read, read.message()) == ("waiting for the model: it is away", said.message())
    word.say(None)
    assert read_waits(bench.redis) == {"job_1": "waiting for room: none is left"}


def test_a_word_that_cannot_be_read_is_passed_over(bench: Bench) -> None:
    bench.redis.set(f"{KEY}job_1:0", "as an earlier version said it")
    Word(bench.redis, "job_1", 1).say(waiting_for_room("none is left"))
    assert read_waits(bench.redis) == {"job_1": "waiting for room: none is left"}


@pytest.mark.parametrize("way", ["hangs", "fails"])
def test_a_hanging_job_lets_later_jobs_finish(
    bench: Bench, server: StubServer, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One worker: the first job gets no reply, and three good jobs wait behind it."""
    for name, value in bench.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(turns, "TURN_S", 0.5)
    monkeypatch.setattr(turns, "GIVE_WAY_PATIENCE_S", 0.5)
    hanging = problem_file(3).replace("第".encode(), "HANG 第".encode())
    broken = JSONResponse({"error": "broken"}, 500)

    def fail(body: dict[str, Any]) -> Response | None:
        hangs = "HANG" in body["messages"][-1]["content"]
        server.latency_s = 60.0 if hangs else 0.0
        return broken if hangs and way == "fails" else None

    server.fail = fail
    stuck = bench.post(hanging)
    good = [bench.post(problem_file(2)) for _ in range(2)]
    good.append(bench.post(problem_file(2), JobSettings(priority="low")))
    worker = SimpleWorker(list(QUEUES), connection=bench.redis, serializer=JSONSerializer)
    worker.work(burst=True)
    for job in good:
        bench.wait(job, 1)
    assert bench.store.end(stuck.id) is None
    server.fail = lambda body: None
    server.latency_s = 0.0
    bench.scheduler.scan()
    worker.work(burst=True)
    bench.wait(stuck, 1)
    assert len(bench.answers(stuck)) == 6
