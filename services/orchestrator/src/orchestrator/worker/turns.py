"""One worker's turn at a shard: keeps many questions in flight until all are answered or other jobs
wait.
"""

from __future__ import annotations

import asyncio
import os
import platform
import time
from collections.abc import Iterator
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
    limit of a single request.
    """

    sampler: Sampler
    journal: Journal
    counting: Counting
    questions: list[Asked]
    drawn: dict[tuple[str, int], list[Drawn]]
    meter: Meter
    store: JobStore
    job: JobFile
    shard: int
    connection: Connection
    longest_patience_s: float
    giving_way: bool = False
    answered: int = 0
    _waiting: Iterator[Asked] = field(init=False)

    def __post_init__(self) -> None:
        self._waiting = iter(self.questions)
        self._process = f"{platform.node()}-{os.getpid()}"
        self._word = Word(self.connection, self.job.id, self.shard)
        self._fruitless = FruitlessTurns(self.connection, self.job.id, self.shard)

    async def take(self, concurrency: int) -> bool:
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
                count = min(concurrency, len(self.questions))
                workers = [group.create_task(self._consume()) for _ in range(count)]
                await asyncio.gather(*workers)
                watching.cancel()
        except ExceptionGroup as failures:
            first = failures.exceptions[0]  # it cancelled the other tasks
            if not isinstance(first, _TurnOverError):
                raise first from None
            return False
        finally:
            self.meter.in_flight = 0
            with suppress(CoordinationError):
                self.meter.flush(self.connection, self._process)
            self._fruitless.note(answered=self.answered > 0)
        return not self.giving_way or next(self._waiting, None) is None

    async def _consume(self) -> None:
        for asked in self._waiting:
            earlier = self.drawn.pop(asked.key, ())
            answer = await self.sampler.answer(asked, earlier, self.journal.append)
            await self.journal.append(answer)
            self.counting.add(answer)
            self.meter.answered(answer, self.sampler.server.model.name)
            self.answered += 1
            if self.giving_way:
                return

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
            now, stuck = time.monotonic(), self.sampler.server.endpoint.is_stuck
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
        return self.journal.waits_for or self.sampler.server.endpoint.waits_for()

    def _patience_s(self) -> float:
        doubled = min(self._fruitless.count(), 20)
        return float(min(GIVE_WAY_PATIENCE_S * 2**doubled, self.longest_patience_s))
