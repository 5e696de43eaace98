"""The work of an RQ job: answer the questions of one shard that its journal does not hold yet."""

from __future__ import annotations

import asyncio
import os
import platform
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

import redis.asyncio
import structlog
from openai import AsyncOpenAI
from redis import Redis
from redis.exceptions import RedisError

from contract import CONTRACT_FILE
from contract.published import sync
from orchestrator.asking import Server, chosen_sampling
from orchestrator.endpoint import Limits
from orchestrator.errors import (
    JobDamagedError,
    JobNotFoundError,
    OtherModelServedError,
    WaitingForModelError,
)
from orchestrator.journal import Journal, open_journal
from orchestrator.leases import LeaseLostError, hold_lease, lease_key
from orchestrator.metering import Meter
from orchestrator.model import (
    ServedModel,
    check_server,
    contract_dir,
    find_model,
    make_client,
    server_version,
)
from orchestrator.progress import Tally
from orchestrator.queueing import (
    Scheduler,
    finish_alone,
    is_stopping,
    others_wait,
    running_worker,
)
from orchestrator.records import JobFile, StartFile
from orchestrator.replies import writable
from orchestrator.sampling import Sampler
from orchestrator.settings import Settings
from orchestrator.store import Asked, JobStore, now
from orchestrator.waiting import say_wait

log = structlog.get_logger("quorum")

MODEL_POLL_S = 2.0
# How long a shard waits for its model before it lets the worker go to other jobs.
PATIENCE_S = 60.0
WATCH_EVERY_S = 0.5
# How long a shard keeps its worker while another job of the same priority waits for one.
TURN_S = 20.0
REDIS_TIMEOUT_S = 5.0
# How long questions in flight may take once the worker is asked to stop; what is open then is left.
STOP_PATIENCE_S = 40.0


class JobCancelledError(Exception):
    """Someone cancelled the job; its running requests are aborted."""


class WorkerStoppingError(Exception):
    """The worker was asked to stop, and what was in flight has had its time."""


def answer_shard(job_id: str, shard: int) -> None:
    """What RQ calls.

    Whatever stops it, the job goes on later: the recovery scan enqueues what is open. Nothing but
    questions without an answer makes a job fail.
    """
    settings = Settings()
    store = JobStore(settings.data_dir)
    structlog.contextvars.bind_contextvars(job=job_id, shard=shard)
    try:
        asyncio.run(run_shard(settings, store, job_id, shard))
    except JobCancelledError:
        log.info("stopped: the job was cancelled")
    except WorkerStoppingError:
        log.info("left for another worker: this one stops")
    except LeaseLostError as error:
        log.info("left to the worker that has it", reason=str(error))
    except (JobNotFoundError, JobDamagedError) as error:
        # deleted meanwhile, or shown as damaged until its file is put back
        log.error("left as it is", reason=str(error))
    except WaitingForModelError as error:
        # its worker is free for jobs that can go on
        log.info("put back, waiting for the model", reason=str(error))
        _leave_word(settings, job_id, shard, f"waiting for the model: {error}")
    except (RedisError, OSError) as error:
        log.error("left for another try", reason=str(error))
        _leave_word(settings, job_id, shard, f"waiting for another try: {error}")
        raise
    except Exception as error:
        log.exception("left for another try")
        said = f"{type(error).__name__}: {error}"
        _leave_word(settings, job_id, shard, f"waiting for another try: {said}")
        raise
    finally:
        structlog.contextvars.clear_contextvars()


def _leave_word(settings: Settings, job_id: str, shard: int, reason: str) -> None:
    with suppress(RedisError), Redis.from_url(settings.redis_url, socket_timeout=5) as connection:
        say_wait(connection, job_id, shard, writable(reason))


async def run_shard(settings: Settings, store: JobStore, job_id: str, shard: int) -> None:
    """Answer what is open of one shard, and enqueue the next; the last shard finishes the job.

    Raises:
        LeaseLostError: another worker has the shard.
        WaitingForModelError: its weights are not served, or the server was away for long.
        JobCancelledError: the job was cancelled.
        WorkerStoppingError: the worker was asked to stop, and questions in flight take too long.
    """
    if store.has_ended(job_id):
        return
    job = store.load_whole(job_id)
    connection = Redis.from_url(settings.redis_url, socket_timeout=REDIS_TIMEOUT_S)
    if store.done_counts(job_id, shard) is None:
        await _answer_open(settings, store, job, shard, connection)
    if store.open_shards(job):
        Scheduler(store, connection).see_to(job)
    else:
        finish_alone(connection, store, job)


async def _answer_open(
    settings: Settings, store: JobStore, job: JobFile, shard: int, connection: Redis
) -> None:
    async with (
        redis.asyncio.from_url(settings.redis_url, socket_timeout=REDIS_TIMEOUT_S) as lease_client,
        make_client(settings) as client,
        hold_lease(lease_client, lease_key(job.id, shard)) as lease,
        open_journal(store.journal(job.id, shard), lease.check) as journal,
    ):
        if store.is_cancelling(job.id):
            raise JobCancelledError
        model = await ready_model(settings, store, job, client)
        answers = store.answers(job, shard)
        open_questions = [a for a in store.shard(job, shard) if a.key not in answers]
        tally = Tally()
        for answer in answers.values():
            tally.add(answer)
        log.info(
            "shard taken up", open=len(open_questions), answered=len(answers), model=model.name
        )
        del answers
        meter = Meter()
        limits = Limits(settings.give_up_tries, settings.give_up_after_s)
        server = Server(client, model, meter, limits, log_prompts=settings.log_prompts)
        sampler = Sampler(server, job.settings)
        turn = Turn(sampler, journal, tally, open_questions, meter)
        if await turn.take(settings.concurrency, store, job, connection):
            journal.sync()
            lease.check()
            store.mark_done(job.id, shard, tally.counts())
            log.info("shard done")
        else:
            log.info("shard gave way to others")


@dataclass
class Turn:
    """One run of a shard: its open questions, of which many are in flight at once."""

    sampler: Sampler
    journal: Journal
    tally: Tally
    questions: list[Asked]
    meter: Meter
    giving_way: bool = False
    _waiting: Iterator[Asked] = field(init=False)

    def __post_init__(self) -> None:
        self._waiting = iter(self.questions)
        self._process = f"{platform.node()}-{os.getpid()}"

    async def take(
        self, concurrency: int, store: JobStore, job: JobFile, connection: Redis
    ) -> bool:
        """Answer; whether all questions were, or else the shard gave way to another job's."""
        try:
            async with asyncio.TaskGroup() as group:
                watching = group.create_task(self._watch(store, job, connection))
                count = min(concurrency, len(self.questions))
                workers = [group.create_task(self._consume()) for _ in range(count)]
                await asyncio.gather(*workers)
                watching.cancel()
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from None  # the first ended the others
        finally:
            self.meter.in_flight = 0
            with suppress(RedisError):
                self.meter.flush(connection, self._process)
        return not self.giving_way or next(self._waiting, None) is None

    async def _consume(self) -> None:
        for asked in self._waiting:
            answer = await self.sampler.answer(asked)
            await self.journal.append(answer)
            self.tally.add(answer)
            self.meter.answered(answer, self.sampler.server.model.name)
            if self.giving_way:
                return

    async def _watch(self, store: JobStore, job: JobFile, connection: Redis) -> None:
        """See whether the job was cancelled, should give way to others, or the worker is to stop.

        Raises:
            JobCancelledError, WorkerStoppingError: what is in flight is aborted.
        """
        began, worker = time.monotonic(), running_worker()
        seen_waiting = 0
        stop_at: float | None = None
        while True:
            await asyncio.sleep(WATCH_EVERY_S)
            if store.is_cancelling(job.id):
                raise JobCancelledError
            if stop_at is not None and time.monotonic() > stop_at:
                raise WorkerStoppingError
            with suppress(RedisError):
                await asyncio.to_thread(self.meter.flush, connection, self._process)
                stops = worker is not None and await asyncio.to_thread(
                    is_stopping, connection, worker
                )
                if stops and stop_at is None:
                    stop_at, self.giving_way = time.monotonic() + STOP_PATIENCE_S, True
                turn_is_over = time.monotonic() - began > TURN_S
                waiting = await asyncio.to_thread(
                    others_wait, connection, job, any_of_same_priority=turn_is_over
                )
                # twice in a row, because an idle worker may be about to take them
                seen_waiting = seen_waiting + 1 if waiting else 0
                self.giving_way = self.giving_way or seen_waiting > 1


async def ready_model(
    settings: Settings, store: JobStore, job: JobFile, client: AsyncOpenAI
) -> ServedModel:
    """The job's model, once its server is fit to be asked: the pinned one, else the published one.

    The first shard pins the contract to the job, so that one job never mixes two models.

    Raises:
        WaitingForModelError: other weights are served, or no server was fit for `PATIENCE_S`.
        JobCancelledError: the job was cancelled meanwhile.
    """
    directory = store.directory(job.id)
    give_up_at = time.monotonic() + PATIENCE_S
    while True:
        try:
            pinned = store.contract(job.id)
            model = ServedModel.from_contract(pinned) if pinned else find_model(settings)
            await check_server(client, model)
        except OtherModelServedError:
            raise
        except WaitingForModelError:
            if store.is_cancelling(job.id):
                raise JobCancelledError from None
            if time.monotonic() > give_up_at:
                raise
            await asyncio.sleep(MODEL_POLL_S)
            continue
        if model.digest is not None and pinned is None:
            contract = (contract_dir(settings) / CONTRACT_FILE).read_bytes()
            _write_once(directory / CONTRACT_FILE, contract)
            pinned = store.contract(job.id)  # another shard may have been first
        if model.digest is None or (pinned is not None and pinned.digest == model.digest):
            if not (directory / "start.json").exists():
                start = await _start_file(job, model, client)
                _write_once(directory / "start.json", start.model_dump_json(indent=2).encode())
            return model


async def _start_file(job: JobFile, model: ServedModel, client: AsyncOpenAI) -> StartFile:
    sampling = chosen_sampling(job.settings, model)
    versions = {
        "quorum": version("quorum-orchestrator"),
        "openai": version("openai"),
        "python": platform.python_version(),
        "server": await server_version(client),
    }
    return StartFile(
        started_at=now(), model=model.name, digest=model.digest, versions=versions, **sampling
    )


def _write_once(path: Path, data: bytes) -> None:
    """Write the file unless another shard was first."""
    own = path.with_name(f".{path.name}.{os.getpid()}")
    own.write_bytes(data)
    sync(own)
    with suppress(FileExistsError):
        os.link(own, path)
    own.unlink()
    sync(path.parent)
