"""One worker's turn at a shard: keeps many questions in flight until all are answered or other jobs
wait.
"""

from __future__ import annotations

import asyncio
import os
import platform
import time
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field

import structlog

from contract import Sentence
from orchestrator.coordination.connection import Connection, CoordinationError
from orchestrator.coordination.fruitless import FruitlessTurns
from orchestrator.coordination.metering import Meter
from orchestrator.coordination.queueing import is_stopping, others_wait, running_worker
from orchestrator.coordination.waiting import Word
from orchestrator.errors import JobCancelledError, WorkerStoppingError
from orchestrator.jobs.asked import Asked
from orchestrator.jobs.counting import Counting
from orchestrator.jobs.journal import Journal
from orchestrator.jobs.records import Drawn, JobFile
from orchestrator.jobs.store import JobStore
from orchestrator.worker.at_once import AtOnce
from orchestrator.worker.pace import Pace
from orchestrator.worker.sampling import Sampler

log = structlog.get_logger("quorum")

WATCH_EVERY_S = 0.5
# A shard keeps its worker this long while another job of the same priority waits for one.
TURN_S = 20.0
# Questions in flight may take this long once the worker must go to other jobs. The time doubles
# with each turn in a row without an answer, so that slow replies arrive in the end.
GIVE_WAY_PATIENCE_S = 30.0
# Questions in flight may take this long once the worker is asked to stop. Then open ones stay open.
STOP_PATIENCE_S = 40.0


class _TurnOverError(Exception):
    """Other jobs wait, and the time for the questions in flight is over."""


@dataclass
class Turn:
    """One run of a shard: its open questions, of which many are in flight at once.

    `drawn` holds the samples drawn before for open questions. `longest_patience_s` is the time
    limit of a single request. `all_asked` is set once no question waits for a place.
    """

    sampler: Sampler
    journal: Journal
    counting: Counting
    questions: deque[Asked]
    drawn: dict[tuple[str, int], list[Drawn]]
    meter: Meter
    store: JobStore
    job: JobFile
    shard: int
    connection: Connection
    pace: Pace
    longest_patience_s: float
    giving_way: bool = False
    answered: int = 0
    all_asked: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        voters = self.sampler.voters
        self._at_once = AtOnce(
            self.sampler.settings,
            is_free=all(voter.model.digest is not None for voter in voters),
            voters={voter.name: voter.weight for voter in voters},
        )
        self._process = f"{platform.node()}-{os.getpid()}"
        self._word = Word(self.connection, self.job.id, self.shard)
        self._fruitless = FruitlessTurns(self.connection, self.job.id, self.shard)

    async def take(self) -> bool:
        """Answer the questions. Returns False if the shard made way for another job before all were
        answered.

        Raises:
            JobCancelledError, WorkerStoppingError: questions in flight are aborted.
            WaitingForModelError: other weights are served.
            LeaseLostError: another worker has the shard.
            OSError: the journal cannot be written.
        """
        try:
            async with asyncio.TaskGroup() as group:
                watching = group.create_task(self._watch())
                async with asyncio.TaskGroup() as asking:
                    await self._ask_all(asking)
                watching.cancel()
        except ExceptionGroup as failures:
            first: Exception = failures
            while isinstance(first, ExceptionGroup):  # the first error cancelled the other tasks
                first = first.exceptions[0]
            if not isinstance(first, _TurnOverError):
                raise first from None
            return False
        finally:
            with suppress(CoordinationError):
                self.meter.flush(self.connection, self._process)
            self._fruitless.note(answered=self.answered > 0)
        return not self.questions

    async def _ask_all(self, asking: asyncio.TaskGroup) -> None:
        """Start one question after the other, as places become free."""
        while self.questions and not self.giving_way:
            await self.pace.take()
            if self.giving_way:
                self.pace.leave()
                return
            asking.create_task(self._answer(self.questions.popleft()))
            # so that its request leaves before the other places' connections are made
            await asyncio.sleep(0)
        if not self.questions:
            self.all_asked.set()

    async def _answer(self, asked: Asked) -> None:
        tokens = 0
        try:
            answer = await self.sampler.answer(
                asked,
                self.drawn.pop(asked.key, ()),
                self.journal.append,
                at_once=self._at_once.pays(nothing_follows=self._nothing_follows()),
            )
            await self.journal.append(answer)
            self.counting.add(answer)
            self._at_once.note(answer)
            model = self.job.settings.panel or self.sampler.server.model.name
            self.meter.answered(answer, model)
            self.answered += 1
            tokens = sum(sample.tokens for sample in answer.samples)
        finally:
            self.pace.leave(tokens)

    def _nothing_follows(self) -> bool:
        """True if the job's questions that have no place yet would not fill all places."""
        if self.shard < len(self.job.shards) - 1:
            return self.job.questions < self.pace.limit
        free = self.pace.limit - self.pace.in_flight  # they get questions before any other work
        return len(self.questions) - free < self.pace.limit

    async def _watch(self) -> None:
        """Check if the job was cancelled or must make way for others, and if the worker must stop.
        Report the reason if the shard waits.

        Raises:
            JobCancelledError, WorkerStoppingError, _TurnOverError: questions in flight are aborted.
        """
        began, worker = time.monotonic(), running_worker()
        patience_s = await asyncio.to_thread(self._patience_s)
        seen_waiting = 0
        stop_at = give_way_at = float("inf")
        while True:
            await asyncio.sleep(WATCH_EVERY_S)
            if self.store.is_cancelling(self.job.id):
                raise JobCancelledError
            now, stuck = time.monotonic(), self.sampler.servers.is_stuck
            if now > stop_at or (stuck and stop_at < float("inf")):
                raise WorkerStoppingError
            if now > give_way_at or (stuck and give_way_at < float("inf")):
                raise _TurnOverError
            await asyncio.to_thread(self._word.say, self._waits_for())
            with suppress(CoordinationError):
                await asyncio.to_thread(self.meter.flush, self.connection, self._process)
                stops = await asyncio.to_thread(is_stopping, self.connection, worker)
                if stops and not self.giving_way:
                    log.info("the worker is asked to stop")
                if stops:
                    stop_at, self.giving_way = min(stop_at, now + STOP_PATIENCE_S), True
                turn_is_over = now - began > TURN_S
                waiting = await asyncio.to_thread(
                    others_wait,
                    self.connection,
                    self.job,
                    any_of_same_priority=turn_is_over,
                    any_at_all=turn_is_over and stuck,
                )
                # twice in a row, because an idle worker may be about to take their shards
                seen_waiting = seen_waiting + 1 if waiting else 0
                if seen_waiting > 1:
                    give_way_at, self.giving_way = min(give_way_at, now + patience_s), True

    def _waits_for(self) -> Sentence | None:
        return self.journal.waits_for or self.sampler.servers.waits_for()

    def _patience_s(self) -> float:
        doubled = min(self._fruitless.count(), 20)
        return float(min(GIVE_WAY_PATIENCE_S * 2**doubled, self.longest_patience_s))
