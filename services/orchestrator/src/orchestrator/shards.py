"""The work of an RQ job: answer the questions of one shard that its journal does not hold yet."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import redis.asyncio
from openai import AsyncOpenAI
from redis.exceptions import RedisError

from contract import CONTRACT_FILE, Contract
from orchestrator.errors import OtherModelServedError, WaitingForModelError
from orchestrator.finishing import finish_if_complete
from orchestrator.journal import Journal, open_journal, read_journal
from orchestrator.leases import LeaseLostError, hold_lease, lease_key
from orchestrator.model import ServedModel, check_server, contract_dir, find_model, make_client
from orchestrator.records import EndFile
from orchestrator.sampling import Sampler
from orchestrator.settings import Settings
from orchestrator.store import Asked, JobStore, now

log = logging.getLogger("quorum")

MODEL_POLL_S = 2.0
# How long a shard waits for its model before it lets the worker go to other jobs.
PATIENCE_S = 60.0


def answer_shard(job_id: str, shard: int) -> None:
    """What RQ calls.

    A failure that no retry mends ends the job with its reason; answers so far are kept.
    """
    settings = Settings()
    store = JobStore(settings.data_dir)
    try:
        asyncio.run(run_shard(settings, store, job_id, shard))
    except LeaseLostError as error:
        log.info("%s, shard %d: left to the worker that has it (%s)", job_id, shard, error)
    except WaitingForModelError as error:
        # its worker is free for jobs that can go on; the recovery scan enqueues it again
        log.info("%s, shard %d: put back, waiting for the model: %s", job_id, shard, error)
    except (RedisError, OSError) as error:
        # Redis away, the volume full: the recovery scan enqueues the shard until it passes
        log.error("%s, shard %d: left for another try: %s", job_id, shard, error)
        raise
    except Exception as error:
        if store.end(job_id) is None:
            store.write_end(job_id, EndFile(status="failed", finished_at=now(), error=str(error)))
        raise


async def run_shard(settings: Settings, store: JobStore, job_id: str, shard: int) -> None:
    """Answer what is open of one shard; the last shard to end finishes the job.

    Raises:
        LeaseLostError: another worker has the shard.
        WaitingForModelError: its weights are not served, or the server was away for long.
    """
    if store.end(job_id) is not None:
        return
    job = store.load(job_id)
    async with (
        redis.asyncio.from_url(settings.redis_url) as connection,
        make_client(settings) as client,
        hold_lease(connection, lease_key(job_id, shard)),
    ):
        model = await ready_model(settings, store, job_id, client)
        path = store.journal(job_id, shard)
        answered = {(answer.id, answer.index) for answer in read_journal(path)[0]}
        open_questions = [a for a in store.shard(job, shard) if a.key not in answered]
        async with open_journal(path) as journal:
            sampler = Sampler(client, model, job.settings)
            await answer_all(sampler, open_questions, journal, settings.concurrency)
    finish_if_complete(store, job)


async def answer_all(
    sampler: Sampler, questions: list[Asked], journal: Journal, concurrency: int
) -> None:
    """Keep `concurrency` questions in flight; journal each answer as it comes."""
    waiting: Iterator[Asked] = iter(questions)

    async def consume() -> None:
        for asked in waiting:
            journal.append(await sampler.answer(asked))

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(min(concurrency, len(questions))):
                group.create_task(consume())
    except ExceptionGroup as failures:
        raise failures.exceptions[0] from None  # the first ended the others


async def ready_model(
    settings: Settings, store: JobStore, job_id: str, client: AsyncOpenAI
) -> ServedModel:
    """The job's model, once its server is fit to be asked: the pinned one, else the published one.

    The first shard pins the contract to the job, so that one job never mixes two models.

    Raises:
        WaitingForModelError: other weights are served, or no server was fit for `PATIENCE_S`.
    """
    directory = store.directory(job_id)
    give_up_at = time.monotonic() + PATIENCE_S
    while True:
        try:
            if (directory / CONTRACT_FILE).exists():
                model = ServedModel.from_contract(Contract.load(directory))
            else:
                model = find_model(settings)
            await check_server(client, model)
        except OtherModelServedError:
            raise
        except WaitingForModelError:
            if time.monotonic() > give_up_at:
                raise
            await asyncio.sleep(MODEL_POLL_S)
            continue
        if model.digest is None:
            return model
        if not (directory / CONTRACT_FILE).exists():
            pin_contract(settings, directory)
        if Contract.load(directory).digest == model.digest:
            return model


def pin_contract(settings: Settings, directory: Path) -> None:
    """Keep the published contract with the job, unless another shard was first."""
    own = directory / f".{CONTRACT_FILE}.{os.getpid()}"
    own.write_bytes((contract_dir(settings) / CONTRACT_FILE).read_bytes())
    with suppress(FileExistsError):
        os.link(own, directory / CONTRACT_FILE)
    own.unlink()
