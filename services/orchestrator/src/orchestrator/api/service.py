"""What the routes work with: the store, what is known of each job, and two loops beside them."""

from __future__ import annotations

import asyncio
import secrets
import shutil
import time
from pathlib import Path

import structlog
from openai import AsyncOpenAI

from contract import Contract, ContractError
from contract.published import sync
from orchestrator.api.schemas import ENDED, Job, Model, Status
from orchestrator.background import repeat
from orchestrator.coordination.connection import CoordinationError, connect, connection_state
from orchestrator.coordination.leases import leased_jobs
from orchestrator.coordination.queueing import Scheduler
from orchestrator.coordination.waiting import read_waits
from orchestrator.errors import JobDamagedError, NotReadyError, OtherModelServedError, QuorumError
from orchestrator.jobs.progress import ProgressReader
from orchestrator.jobs.questions import QuestionReader
from orchestrator.jobs.records import EndFile, JobFile
from orchestrator.jobs.store import JobStore
from orchestrator.model import (
    ServedModel,
    check_server,
    contract_dir,
    find_model,
    make_client,
)
from orchestrator.settings import Settings

log = structlog.get_logger("quorum")

SCAN_EVERY_S = 2.0
MODEL_CHECK_EVERY_S = 5.0
PROBE_TIMEOUT_S = 5.0
REDIS_TIMEOUT_S = 10.0
FULL_BYTES = 32 << 20
PROBE_BYTES = 64 << 10
# A job has no worker for a moment between two of its shards.
IDLE_S = 4.0


class Service:
    """One per process of the API."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.store = JobStore(settings.data_dir)
        self.progress = ProgressReader(self.store)
        self.questions = QuestionReader(self.store)
        # a command that gets no answer fails in time for the next try; nothing here blocks on Redis
        connection = connect(settings.redis_url, REDIS_TIMEOUT_S)
        self.scheduler = Scheduler(self.store, connection)
        self.model_state = "not checked yet"
        self.served: frozenset[str] = frozenset()
        self.has_workers = True
        self.scan_state = "ok"
        self.waits: dict[str, str] = {}
        self._idle_since: dict[str, float] = {}

    # ---- jobs ---------------------------------------------------------------------------------

    def view(self, job_id: str) -> Job:
        """The job as it is now. One that is damaged is failed, with the reason."""
        try:
            return self._view(self.store.load_whole(job_id))
        except JobDamagedError as error:
            return Job.damaged(job_id, self._readable(job_id), str(error))

    def _readable(self, job_id: str) -> JobFile | None:
        try:
            return self.store.load(job_id)
        except JobDamagedError:
            return None

    def _view(self, job: JobFile) -> Job:
        job_id = job.id
        started = self.store.started(job_id)
        started_at = started.started_at if started else None
        end = self.store.end(job_id)  # before the counts: an ended job's counts are final
        if end is not None and end.counts is not None:
            self.progress.forget(job_id)
            return Job.of(job, end.counts, end.status, started_at, end, None)
        progress = self.progress.read(job)
        status = self._status(job, end)
        note = None if status in ENDED else self._note(job_id, status)
        view = Job.of(job, progress.counts, status, started_at, end, note)
        if end is None:
            view.questions_per_s = progress.questions_per_s
            view.samples_per_s = progress.samples_per_s
            view.eta_s = None if note else progress.eta_s(job.questions)
        return view

    def status(self, job_id: str) -> Status:
        try:
            end = self.store.end(job_id)
            return end.status if end else self._status(self.store.load_whole(job_id), None)
        except JobDamagedError:
            return "failed"

    def _status(self, job: JobFile, end: EndFile | None) -> Status:
        if end is not None:
            return end.status
        if self.store.is_cancelling(job.id):
            return "cancelling"
        return "in_progress" if self.store.open_shards(job) else "finalizing"

    def _note(self, job_id: str, status: Status) -> str | None:
        """What a job that has not ended waits for, if anything."""
        if room := self._room_fault():
            return f"waiting for room: {room}"
        if self.scan_state != "ok":
            return self.scan_state
        if not self.has_workers:
            return "waiting for a worker: none is running; start one (docker compose up -d worker)"
        if job_id in self.scheduler.faults:
            return f"waiting for another try: {self.scheduler.faults[job_id]}"
        if job_id in self.waits:
            return self.waits[job_id]
        if status != "in_progress":
            return None  # it asks the model nothing any more
        pinned = self.store.pinned(job_id)
        if pinned is not None:
            name = ServedModel.from_contract(pinned).name
            if name in self.served:
                return self._turn_note(job_id)
            if self.served:
                return (
                    f"waiting for the model: the job was started with the weights {name}; "
                    f"{', '.join(sorted(self.served))} are served now"
                )
        if self.model_state != "ok":
            return f"waiting for the model: {self.model_state}"
        return self._turn_note(job_id)

    def _room_fault(self) -> str | None:
        free = shutil.disk_usage(self.settings.data_dir).free
        if free >= FULL_BYTES:
            return None
        folder, left = self.settings.data_dir, free >> 20
        return f"{folder} has {left} MiB left; delete jobs or enlarge the volume"

    def _turn_note(self, job_id: str) -> str | None:
        now = time.monotonic()
        if now - self._idle_since.get(job_id, now) < IDLE_S:
            return None
        return "waiting for its turn: every worker is at another job"

    def forget(self, job_id: str) -> None:
        """The job was opened again or deleted: what was read of it counts no more."""
        self.progress.forget(job_id)
        self.questions.forget(job_id)

    def result(self, job_id: str, name: str) -> Path:
        """A file that an ended job has left.

        Raises:
            NotReadyError: it is not there, or not yet.
        """
        path = self.store.result(job_id, name)
        if path is None:
            job = self.view(job_id)
            counts = job.request_counts
            done = counts.completed + counts.failed
            reason = job.error or f"{done} of {counts.total} questions are done"
            raise NotReadyError(f"{name} is not there; the job is {job.status}: {reason}")
        return path

    def see_to(self, job: JobFile) -> None:
        """Enqueue or end a job now, rather than with the next scan."""
        try:
            self.scheduler.see_to(job)
        except CoordinationError as error:
            log.warning("Redis is away; the scan will see to it", job=job.id, reason=str(error))

    # ---- the parts it rests on ----------------------------------------------------------------

    def model(self) -> Model:
        """The model that is published or named, and whether its server is fit to be asked.

        Raises:
            WaitingForModelError: nothing is published.
        """
        found = find_model(self.settings)
        contract = None if found.digest is None else Contract.load(contract_dir(self.settings))
        return Model(
            name=found.name, digest=found.digest, state=self.model_state, contract=contract
        )

    async def redis_state(self) -> str:
        return await connection_state(self.settings.redis_url, PROBE_TIMEOUT_S)

    def volume_state(self) -> str:
        """ "ok", or why results cannot be written: an empty file fits on a full volume too."""
        probe = self.settings.data_dir / f".writable-{secrets.token_hex(4)}"
        try:
            self.settings.data_dir.mkdir(parents=True, exist_ok=True)
            try:
                probe.write_bytes(b"\0" * PROBE_BYTES)
                sync(probe)
            finally:
                probe.unlink(missing_ok=True)
            return self._room_fault() or "ok"
        except OSError as error:
            return f"{self.settings.data_dir} cannot be written: {error.strerror}"

    # ---- what goes on beside the calls --------------------------------------------------------

    async def watch(self) -> None:
        """Keep the recovery scan and the model check going until cancelled."""
        async with (
            make_client(self.settings).with_options(
                timeout=PROBE_TIMEOUT_S, max_retries=0
            ) as client,
            asyncio.TaskGroup() as group,
        ):
            scan = repeat("the recovery scan", self._scan, SCAN_EVERY_S, self._scan_failed)
            group.create_task(scan)

            async def check() -> None:
                await self._check_model(client)

            group.create_task(repeat("the model check", check, MODEL_CHECK_EVERY_S, self._model_is))

    async def _scan(self) -> None:
        await asyncio.to_thread(self.scheduler.scan)
        self.has_workers = await asyncio.to_thread(self.scheduler.has_workers)
        self.waits = await asyncio.to_thread(read_waits, self.scheduler.connection)
        self._idle_since = await asyncio.to_thread(self._idle_jobs)
        self.scan_state = "ok"

    def _idle_jobs(self) -> dict[str, float]:
        """Since when each open job has had no worker."""
        at_work, now = leased_jobs(self.scheduler.connection), time.monotonic()
        ended = self.store.has_ended
        idle = (job_id for job_id in self.store.ids() if job_id not in at_work)
        return {job_id: self._idle_since.get(job_id, now) for job_id in idle if not ended(job_id)}

    def _scan_failed(self, reason: str) -> None:
        self.scan_state = reason

    async def _check_model(self, client: AsyncOpenAI) -> None:
        try:
            model = await asyncio.to_thread(find_model, self.settings)
            not_probed = await check_server(client, model)
        except OtherModelServedError as error:
            self._model_is(str(error), error.served)
        except (QuorumError, ContractError) as error:
            self._model_is(str(error))
        else:
            self._model_is("ok", frozenset([model.name]), not_probed)

    def _model_is(
        self, state: str, served: frozenset[str] = frozenset(), not_probed: str | None = None
    ) -> None:
        if state != self.model_state:
            log.info("model server", state=state, not_probed=not_probed)
        self.model_state, self.served = state, served
