"""The number of questions in flight, and votes that are drawn at once."""

from __future__ import annotations

import asyncio

import pytest

from orchestrator.jobs.records import Answer, JobSettings, Sample
from orchestrator.worker.at_once import AtOnce
from orchestrator.worker.pace import GROWTH, MOST, START, Pace


class Clock:
    """A clock that a server's throughput drives: `tokens_per_s` at so many questions in flight."""

    def __init__(self, most_per_s: float, per_question: float) -> None:
        self.now_s = 0.0
        self._most_per_s = most_per_s
        self._per_question = per_question

    def answer(self, pace: Pace, tokens: int) -> None:
        self.now_s += tokens / min(self._most_per_s, self._per_question * pace.limit)
        pace.leave(tokens)


def settled_limit(most_per_s: float, per_question: float, fixed: int | None = None) -> int:
    clock = Clock(most_per_s, per_question)
    pace = Pace(fixed, lambda: clock.now_s)
    for _ in range(20_000):
        clock.answer(pace, 30)
    return pace.limit


def test_questions_in_flight_grow_while_throughput_grows() -> None:
    assert settled_limit(1e9, 10) == MOST
    assert settled_limit(10 * START * GROWTH, 10) == int(START * GROWTH)


def test_a_server_with_enough_work_is_asked_for_no_more() -> None:
    assert settled_limit(START, 10) == START


def test_a_chosen_concurrency_never_changes() -> None:
    assert settled_limit(1e9, 10, fixed=7) == 7


def test_no_more_questions_are_in_flight_than_there_are_places() -> None:
    async def run() -> list[int]:
        pace, seen = Pace(3), []

        async def ask() -> None:
            await pace.take()
            seen.append(pace.in_flight)
            await asyncio.sleep(0)
            pace.leave()

        await asyncio.gather(*(ask() for _ in range(20)))
        return [*seen, pace.in_flight]

    *seen, after = asyncio.run(run())
    assert len(seen) == 20
    assert max(seen) == 3
    assert after == 0


def answer(labels: str, tokens: int) -> Answer:
    samples = [
        Sample(
            slot=n, attempt=0, label=label, seed=n, finish_reason="stop", tokens=tokens, text=label
        )
        for n, label in enumerate(labels)
    ]
    return Answer(id="p", index=0, answer="A", samples=tuple(samples))


def deciding(tokens: int, settled: int, left_open: int) -> AtOnce:
    at_once = AtOnce(JobSettings(), is_free=True)
    for _ in range(settled):
        at_once.note(answer("AA", tokens))
    for _ in range(left_open):
        at_once.note(answer("ABA", tokens))
    return at_once


@pytest.mark.parametrize(
    ("tokens", "settled", "left_open", "pays"),
    [(300, 80, 20, False), (2, 50, 50, True), (30, 80, 20, False), (30, 20, 80, True)],
)
def test_short_replies_and_open_votes_are_drawn_at_once(
    tokens: int, settled: int, left_open: int, pays: bool
) -> None:
    assert deciding(tokens, settled, left_open).pays(nothing_follows=False) is pays


def test_votes_that_nothing_queues_behind_are_drawn_at_once() -> None:
    assert deciding(300, 80, 20).pays(nothing_follows=True)
    assert not AtOnce(JobSettings(), is_free=True).pays(nothing_follows=False)


def test_samples_that_may_cost_money_are_drawn_in_rounds() -> None:
    at_once = AtOnce(JobSettings(), is_free=False)
    assert not at_once.pays(nothing_follows=True)
