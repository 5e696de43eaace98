"""A worker's stay at one job: it answers shards one after the other, as long as no other job waits.

While the last questions of one shard are in flight, the next shard begins. So the server is never
short of work between two shards.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

import structlog

from orchestrator.adapting import SYSTEM
from orchestrator.coordination.connection import AsyncConnection, Connection, CoordinationError
from orchestrator.coordination.leases import LeaseLostError, hold_lease, lease_key
from orchestrator.coordination.metering import Meter
from orchestrator.coordination.queueing import (
    Scheduler,
    is_stopping,
    others_wait,
    running_worker,
)
from orchestrator.coordination.waiting import Word
from orchestrator.errors import JobCancelledError, QuorumError, WorkerStoppingError
from orchestrator.jobs.counting import Counting
from orchestrator.jobs.journal import Journal, open_journal
from orchestrator.jobs.records import JobFile
from orchestrator.jobs.store import JobStore
from orchestrator.jobs.vote_temperature import as_started
from orchestrator.model import ServedModel
from orchestrator.settings import Settings
from orchestrator.worker.asking import Server
from orchestrator.worker.connections import Connections
from orchestrator.worker.endpoint import Limits
from orchestrator.worker.learning import Learned
from orchestrator.worker.pace import Pace
from orchestrator.worker.places import Places
from orchestrator.worker.plan import panel_voters
from orchestrator.worker.sampling import Sampler
from orchestrator.worker.seats import Seat
from orchestrator.worker.starting import Ready, ready_job
from orchestrator.worker.turns import Turn

log = structlog.get_logger("quorum")

_Answering = Callable[[int, asyncio.Event], Coroutine[Any, Any, object]]

LOST = object()
# What may keep a shard from beginning. The shard that is in flight meets it by itself, if at all.
NOT_BEGUN = (QuorumError, JobCancelledError, WorkerStoppingError, CoordinationError, OSError)


class Stay:
    """`_begun` holds the shards whose questions this stay has asked."""

    def __init__(
        self,
        settings: Settings,
        store: JobStore,
        job: JobFile,
        connection: Connection,
        lease_client: AsyncConnection,
        at: Places,
    ) -> None:
        self._settings = settings
        self._store = store
        self._job = job
        self._connection = connection
        self._lease_client = lease_client
        self._at = at
        chosen = settings.concurrency
        self._pace = Pace(None if chosen == "auto" else chosen)
        self._meter = Meter()
        self._scheduler = Scheduler(store, connection)
        self._worker = running_worker()
        self._begun: set[int] = set()
        self._learned: dict[tuple[str, str | None], Learned] = {}

    async def answer(self, shard: int) -> None:
        """Answer `shard` and the shards after it.

        Raises:
            what `run_shard` raises. Shards that were begun then stay open.
        """
        try:
            async with asyncio.TaskGroup() as group:
                answering: _Answering = self._answer_one
                following: int | None = shard
                while following is not None:
                    all_asked = asyncio.Event()
                    this = group.create_task(answering(following, all_asked))
                    asked = asyncio.ensure_future(all_asked.wait())
                    try:
                        await asyncio.wait((this, asked), return_when=asyncio.FIRST_COMPLETED)
                    finally:
                        asked.cancel()
                    was_lost = this.done() and not this.cancelled() and this.result() is LOST
                    goes_on = all_asked.is_set() or was_lost
                    following = await asyncio.to_thread(self._following) if goes_on else None
                    answering = self._answer_following
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None

    def _following(self) -> int | None:
        """The job's next shard that no worker has; None if there is none, if other jobs wait, or if
        the worker must stop.
        """
        with suppress(CoordinationError):
            others = others_wait(
                self._connection, self._job, any_of_same_priority=True, any_at_all=False
            )
            if not others and not self._stops():
                return self._scheduler.next_free(self._job, self._begun)
        return None

    def _stops(self) -> bool:
        return is_stopping(self._connection, self._worker)

    async def _answer_following(self, shard: int, all_asked: asyncio.Event) -> object:
        """Answer a shard while the last one's questions are in flight. `LOST` if another worker
        took it first. An error before it begins only ends the stay: the scan sees to it later.
        """
        try:
            await self._answer_one(shard, all_asked)
        except LeaseLostError:
            return LOST
        except NOT_BEGUN as error:
            if shard in self._begun:
                raise
            log.warning("the next shard did not begin", reason=str(error))
        return None

    async def _answer_one(self, shard: int, all_asked: asyncio.Event) -> None:
        job, store, settings = self._job, self._store, self._settings
        structlog.contextvars.bind_contextvars(shard=shard)
        journal_path = store.journal(job.id, shard)
        async with (
            hold_lease(self._lease_client, lease_key(job.id, shard), journal_path) as lease,
            open_journal(journal_path, lease.check) as journal,
        ):
            if store.is_cancelling(job.id):
                raise JobCancelledError
            word = Word(self._connection, job.id, shard)
            ready = await ready_job(settings, store, job, self._at, word, self._stops)
            turn = self._turn(shard, journal, await self._sampler(ready), all_asked)
            self._begun.add(shard)
            if await turn.take():
                word.say(None)
                self._keep_learned()  # again: another worker may have written start.json meanwhile
                journal.sync()
                lease.check()
                store.mark_done(job.id, shard, turn.counting.counts())
                log.info("shard done")
            else:
                log.info("shard gave way to others")

    def _try_to_keep_learned(self) -> None:
        try:
            self._keep_learned()
        except (QuorumError, OSError) as error:  # it is tried again at the end of the shard
            log.warning("start.json does not have it yet", reason=str(error))

    def _keep_learned(self) -> None:
        found = [entry for (url, _), own in self._learned.items() for entry in own.record(url)]
        self._store.add_adapted(self._job.id, found)

    async def _sampler(self, ready: Ready) -> Sampler:
        settings = as_started(self._job.settings, self._store.started(self._job.id))
        panel = ready.panel
        own = (await self._at.at(None)).connections
        if panel is None:
            return Sampler(self._server(own, ready.model, None), settings)
        seats = []
        for pinned, voter in zip(panel.voters, panel_voters(settings, panel), strict=True):
            to_server = (await self._at.at(pinned.url, pinned.key)).connections
            server = self._server(to_server, voter.model, voter.model.name)
            seats.append(Seat(voter, server))
        return Sampler(seats[0].server, settings, tuple(seats))

    def _server(self, to_server: Connections, model: ServedModel, voters: str | None) -> Server:
        """A server for one shard. `voters` is the model's name if it is a panel's voter."""
        settings, place = self._settings, (to_server.url, voters)
        if place not in self._learned:
            fixed = () if model.digest is None else (SYSTEM,)
            self._learned[place] = Learned(fixed, self._try_to_keep_learned, voters)
        started = self._store.started(self._job.id)
        self._learned[place].know(started.adapted if started else (), to_server.url)
        return Server(
            to_server,
            model,
            self._meter,
            Limits(settings.give_up_tries, settings.give_up_after_s),
            self._learned[place],
            log_prompts=settings.log_prompts,
        )

    def _turn(
        self, shard: int, journal: Journal, sampler: Sampler, all_asked: asyncio.Event
    ) -> Turn:
        """The turn at what the journal leaves open."""
        job, store, settings = self._job, self._store, self._settings
        answers, drawn = store.journaled(job, shard)
        counting = Counting()
        for answer in answers.values():
            counting.add(answer)
        questions = deque(a for a in store.shard(job, shard) if a.key not in answers)
        log.info(
            "shard taken up",
            open=len(questions),
            answered=len(answers),
            model=job.settings.panel or sampler.server.model.name,
        )
        return Turn(
            sampler,
            journal,
            counting,
            questions,
            drawn,
            self._meter,
            store,
            job,
            shard,
            self._connection,
            self._pace,
            longest_patience_s=settings.request_timeout_s,
            all_asked=all_asked,
        )
