"""The start of a shard: waits until the server may be asked, and pins the model to the job."""

from __future__ import annotations

import asyncio
import platform
import time
from collections.abc import Callable
from importlib.metadata import version

import structlog
from openai import AsyncOpenAI

from contract import CONTRACT_FILE, PromptFormat, Sentence, asking_for_all, coded
from contract.formats import FormatFileError
from orchestrator.coordination.waiting import Word, waiting_for_model
from orchestrator.errors import (
    JobCancelledError,
    OtherModelServedError,
    WaitingForModelError,
    WorkerStoppingError,
)
from orchestrator.jobs.prompting import choose_format
from orchestrator.jobs.records import JobFile, JobFormat, JobSettings, StartFile, VoterRecord
from orchestrator.jobs.store import JobStore, now
from orchestrator.jobs.vote_temperature import starting_temperature
from orchestrator.model import ServedModel, check_server, contract_dir, find_model, server_version
from orchestrator.settings import Settings
from orchestrator.worker.plan import job_voters

log = structlog.get_logger("quorum")

MODEL_POLL_S = 2.0
# A shard waits this long for its model before it frees the worker for other jobs.
PATIENCE_S = 60.0
CHECK_TIMEOUT_S = 30.0


async def ready_model(
    settings: Settings,
    store: JobStore,
    job: JobFile,
    client: AsyncOpenAI,
    word: Word,
    stops: Callable[[], bool],
) -> ServedModel:
    """The job's model, once its server may be asked: the pinned model, else the published one.

    The first shard pins the contract to the job, so that one job never mixes two models. `word`
    gets the reason of the wait. `stops` returns True if the worker was asked to stop.

    Raises:
        WaitingForModelError: other weights are served, or the server was unfit for `PATIENCE_S`.
        JobCancelledError: the job was cancelled.
        WorkerStoppingError: the worker was asked to stop.
    """
    checking = client.with_options(timeout=CHECK_TIMEOUT_S, max_retries=0)
    give_up_at = time.monotonic() + PATIENCE_S
    while True:
        try:
            pinned = store.pinned(job.id)
            model = ServedModel.from_contract(pinned) if pinned else find_model(settings)
            await check_server(checking, model)
            chosen = await asyncio.to_thread(_format, settings, store, job, model)
        except OtherModelServedError:
            raise
        except WaitingForModelError as error:
            await asyncio.to_thread(word.say, waiting_for_model(error.sentence))
            if store.is_cancelling(job.id):
                raise JobCancelledError from None
            if await asyncio.to_thread(stops):
                raise WorkerStoppingError from None
            if time.monotonic() > give_up_at:
                raise
            await asyncio.sleep(MODEL_POLL_S)
            continue
        if model.digest is not None and pinned is None:
            pinned = store.pin(job.id, (contract_dir(settings) / CONTRACT_FILE).read_bytes())
        if model.digest is None or (pinned is not None and pinned.digest == model.digest):
            if store.started(job.id) is None:
                store.write_start(job.id, await _start_file(settings, job, model, chosen, client))
            return in_format_of(store.started(job.id), model)


def _format(
    settings: Settings, store: JobStore, job: JobFile, model: ServedModel
) -> JobFormat | None:
    """The format for a job that starts; None if the model has its own, or the job has started.

    Raises:
        WaitingForModelError: the file that PROMPT_FORMAT names cannot be used any more.
    """
    if model.digest is not None or store.started(job.id) is not None:
        return None
    last = len(job.shards) - 1
    looked_at = sorted({0, last // 2, last})  # a whole large file would hold up its first request
    problems = (problem for shard in looked_at for problem in store.problems(job, shard))
    try:
        chosen = choose_format(settings.prompt_format, problems)
    except FormatFileError as error:
        raise WaitingForModelError(error.sentence) from error
    log.info("prompt format", name=chosen.name, reason=chosen.note)
    return chosen


def in_format_of(start: StartFile | None, model: ServedModel) -> ServedModel:
    """The model as the job asks it. Jobs of earlier versions, which name no format, were asked in
    the default one.
    """
    if start is None or model.digest is not None:
        return model
    return model.asked_in(start.prompt_format.format if start.prompt_format else PromptFormat())


async def _start_file(
    settings: Settings,
    job: JobFile,
    model: ServedModel,
    chosen: JobFormat | None,
    client: AsyncOpenAI,
) -> StartFile:
    voters = job_voters(job.settings, model)
    versions = {
        "quorum": version("quorum-orchestrator"),
        "openai": version("openai"),
        "python": platform.python_version(),
        "server": await server_version(client),
    }
    note = prompt_note(job.settings, chosen.format if chosen else model.format)
    return StartFile(
        started_at=now(),
        model=model.name,
        digest=model.digest,
        versions=versions,
        voters=tuple(
            VoterRecord(name=v.name, model=v.model.name, sampling=v.sampling) for v in voters
        ),
        thinking=settings.thinking,
        extra_body=settings.extra_body,
        prompt_note=note,
        prompt_note_message=coded(note),
        vote_temperature=starting_temperature(job.settings),
        prompt_format=chosen,
        **voters[0].sampling,
    )


def prompt_note(settings: JobSettings, fmt: PromptFormat) -> Sentence | None:
    """How the job's prompt differs from the model's format; None if it does not."""
    added = asking_for_all(fmt).added if settings.multiple else None
    if added is None:
        return None
    return Sentence(
        "prompt-asks-for-all",
        "the model's format asks for one option; this sentence was added to its prompt: {added}",
        added=added,
    )
