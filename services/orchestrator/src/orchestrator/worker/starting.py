"""The start of a shard: waits until the servers may be asked, and pins model and panel to the
job.
"""

from __future__ import annotations

import asyncio
import platform
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from typing import NamedTuple

import structlog
from openai import AsyncOpenAI

from contract import CONTRACT_FILE, Problem, PromptFormat, Sentence, asking_for_all, coded
from contract.formats import FormatFileError
from contract.panels import PanelError
from orchestrator.coordination.waiting import Word, waiting_for_model
from orchestrator.errors import (
    JobCancelledError,
    OtherModelServedError,
    WaitingForModelError,
    WorkerStoppingError,
)
from orchestrator.jobs.calibration import Conditions
from orchestrator.jobs.calibrations import Calibrations, in_need, no_calibration
from orchestrator.jobs.panels import PinnedPanel
from orchestrator.jobs.prompting import choose_format
from orchestrator.jobs.records import JobFile, JobFormat, JobSettings, StartFile
from orchestrator.jobs.store import JobStore, now
from orchestrator.jobs.vote_temperature import starting_temperature
from orchestrator.jobs.voter_records import VoterRecord
from orchestrator.model import (
    ServedModel,
    check_server,
    contract_dir,
    find_model,
    published_dir,
    server_version,
)
from orchestrator.panels import find_panel, samples_fault
from orchestrator.settings import Settings
from orchestrator.worker.panels import not_served, record, resolved, served, unfit
from orchestrator.worker.places import Places
from orchestrator.worker.plan import job_voters
from orchestrator.worker.seats import of_voter

log = structlog.get_logger("quorum")

MODEL_POLL_S = 2.0
# A shard waits this long for its model before it frees the worker for other jobs.
PATIENCE_S = 60.0
CHECK_TIMEOUT_S = 30.0


class Ready(NamedTuple):
    """What a job asks: its own model, and its panel if it has one."""

    model: ServedModel
    panel: PinnedPanel | None


async def ready_job(
    settings: Settings,
    store: JobStore,
    job: JobFile,
    at: Places,
    word: Word,
    stops: Callable[[], bool],
) -> Ready:
    """The job's model and panel, once their servers may be asked: the pinned ones, else the
    published or named ones.

    The first shard pins both to the job, so that one job never mixes two. `word` gets the reason of
    the wait. `stops` returns True if the worker was asked to stop.

    Raises:
        WaitingForModelError: other weights are served, or a server was unfit for `PATIENCE_S`.
        JobCancelledError: the job was cancelled.
        WorkerStoppingError: the worker was asked to stop.
    """
    give_up_at = time.monotonic() + PATIENCE_S
    while True:
        try:
            ready = await _ready(settings, store, job, at)
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
        if ready is not None:
            return ready


async def _ready(settings: Settings, store: JobStore, job: JobFile, at: Places) -> Ready | None:
    """None if another shard has pinned another model or panel meanwhile.

    Raises:
        WaitingForModelError: a server may not be asked now.
    """
    pinned = store.pinned(job.id)
    model = ServedModel.from_contract(pinned) if pinned else find_model(settings)
    chosen = None
    if model.digest is None and store.started(job.id) is None:
        chosen = await asyncio.to_thread(_format, settings, store, job)
    own = model.asked_in(chosen.format) if chosen else in_format_of(store.started(job.id), model)
    panel = await asyncio.to_thread(_panel, settings, store, job, own)
    if panel is None:
        await check_server(_checking((await at.at(None)).client), model)
    else:
        await _check_voters(panel, at)
    if model.digest is not None and pinned is None:
        pinned = store.pin(job.id, (contract_dir(settings) / CONTRACT_FILE).read_bytes())
    if model.digest is not None and (pinned is None or pinned.digest != model.digest):
        return None
    if panel is not None and panel != (store.panel(job.id) or store.pin_panel(job.id, panel)):
        return None
    if store.started(job.id) is None:
        client = (await at.at(None)).client
        start = await _start_file(settings, job, own, panel, chosen, client)
        pin_calibration(settings, store, job, start)
        store.write_start(job.id, start)
    return Ready(in_format_of(store.started(job.id), model), panel)


def _checking(client: AsyncOpenAI) -> AsyncOpenAI:
    return client.with_options(timeout=CHECK_TIMEOUT_S, max_retries=0)


def _format(settings: Settings, store: JobStore, job: JobFile) -> JobFormat:
    """The format for a job that starts, whose model has none of its own.

    Raises:
        WaitingForModelError: the file that PROMPT_FORMAT names cannot be used any more.
    """
    try:
        chosen = choose_format(settings.prompt_format, _looked_at(store, job))
    except FormatFileError as error:
        raise WaitingForModelError(error.sentence) from error
    log.info("prompt format", name=chosen.name, reason=chosen.note)
    return chosen


def _looked_at(store: JobStore, job: JobFile) -> Iterator[Problem]:
    """The problems of the first, the middle and the last shard: a whole large file would hold up
    its first request.
    """
    last = len(job.shards) - 1
    for shard in sorted({0, last // 2, last}):
        yield from store.problems(job, shard)


def _panel(
    settings: Settings, store: JobStore, job: JobFile, own: ServedModel
) -> PinnedPanel | None:
    """The job's panel: the pinned one, else as its file or the published model has it now.

    Raises:
        WaitingForModelError: it cannot be used now.
    """
    if job.settings.panel is None:
        return None
    if pinned := store.panel(job.id):
        return pinned
    try:
        spec = find_panel(settings, job.settings.panel, published_dir(settings, own.digest))
        if fault := samples_fault(spec, job.settings.samples):
            raise PanelError(fault)
        problems = [*_looked_at(store, job)]
        return resolved(spec, job.settings, own, settings.prompt_format, problems)
    except (PanelError, FormatFileError) as error:
        raise WaitingForModelError(error.sentence) from error


async def _check_voters(panel: PinnedPanel, at: Places) -> None:
    """Return if each voter may be asked.

    Raises:
        WaitingForModelError: names the first voter that may not.
    """
    checked = set()
    for voter in panel.voters:
        asked = (voter.url, voter.key, voter.model)
        if asked in checked:
            continue
        checked.add(asked)
        try:
            place = await at.at(voter.url, voter.key)
            await check_server(_checking(place.client), served(voter))
        except OtherModelServedError as error:
            reason = not_served(voter, place.connections.url, error)
            raise OtherModelServedError(of_voter(voter.name, reason), error.served) from error
        except WaitingForModelError as error:
            reason = unfit(voter, error)
            raise WaitingForModelError(of_voter(voter.name, reason)) from error


def in_format_of(start: StartFile | None, model: ServedModel) -> ServedModel:
    """The model as the job asks it. Jobs of earlier versions, which name no format, were asked in
    the default one.
    """
    if start is None or model.digest is not None:
        return model
    return model.asked_in(start.prompt_format.format if start.prompt_format else PromptFormat())


def pin_calibration(settings: Settings, store: JobStore, job: JobFile, start: StartFile) -> None:
    """Pin the calibration that holds for the job, if there is one.

    Raises:
        WaitingForModelError: there is none, and the job's settings need one.
    """
    found = Calibrations(settings.data_dir).holding_for(Conditions.of(job.settings, start))
    if found is not None:
        store.pin_calibration(job.id, found)
        log.info("calibration", name=found.id, made_from=found.job)
    elif setting := in_need(job.settings):
        raise WaitingForModelError(no_calibration(setting))


async def _start_file(
    settings: Settings,
    job: JobFile,
    model: ServedModel,
    panel: PinnedPanel | None,
    chosen: JobFormat | None,
    client: AsyncOpenAI,
) -> StartFile:
    """start.json. The job's own values are those of its first voter."""
    if panel is None:
        voters = tuple(
            VoterRecord(name=v.name, model=v.model.name, sampling=v.sampling)
            for v in job_voters(job.settings, model)
        )
    else:
        voters = tuple(map(record, panel.voters))
    versions = {
        "quorum": version("quorum-orchestrator"),
        "openai": version("openai"),
        "python": platform.python_version(),
        "server": await server_version(client),
    }
    note = prompt_note(job.settings, panel.voters[0].format if panel else model.format)
    return StartFile(
        started_at=now(),
        model=voters[0].model,
        digest=model.digest,
        url=settings.inference_url,
        versions=versions,
        voters=voters,
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
