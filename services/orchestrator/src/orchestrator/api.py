"""The HTTP API. It accepts files, reports and hands out results; workers do the answering."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any

import redis.asyncio
import uvicorn
from fastapi import Depends, FastAPI, Form, Query, Request, Response, UploadFile
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse
from pydantic import ValidationError
from redis import Redis
from redis.exceptions import RedisError
from starlette.exceptions import HTTPException

from contract import CONTRACT_FILE, Contract
from orchestrator import logs
from orchestrator.errors import InvalidFileError, InvalidSettingError, NotReadyError, QuorumError
from orchestrator.model import check_server, find_model, make_client
from orchestrator.progress import ProgressReader
from orchestrator.queueing import Recovery, enqueue, make_queue
from orchestrator.records import JobSettings
from orchestrator.schemas import Fault, Health, Job, JobList, ProblemDetails, Readiness
from orchestrator.settings import Settings
from orchestrator.store import JobStore

log = logging.getLogger("quorum")

SCAN_EVERY_S = 5.0
MODEL_CHECK_EVERY_S = 5.0
PROBE_TIMEOUT_S = 5.0


class Service:
    """What the routes work with: one per process."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.store = JobStore(settings.data_dir)
        self.progress = ProgressReader(self.store)
        # a command that gets no answer fails in time for the next try; nothing here blocks on Redis
        self.queue = make_queue(Redis.from_url(settings.redis_url, socket_timeout=10))
        self.recovery = Recovery(self.store, self.progress, self.queue)
        self.model_state = "not checked yet"
        self.served_digest: str | None = None

    def view(self, job_id: str) -> Job:
        job = self.store.load(job_id)
        end = self.store.end(job_id)  # before the counts: an ended job's counts are final
        note = None if end else self._note(job_id)
        return Job.of(job, self.progress.read(job), end, note)

    def _note(self, job_id: str) -> str | None:
        """What a job that has not ended waits for, if anything."""
        if self.model_state != "ok":
            return f"waiting for the model: {self.model_state}"
        pinned = self.store.directory(job_id)
        if (pinned / CONTRACT_FILE).exists():
            digest = Contract.load(pinned).digest
            if digest != self.served_digest:
                return (
                    f"waiting for the weights {digest} that the job was started with; "
                    f"{self.served_digest} are served now"
                )
        return None

    async def scan_now_and_then(self) -> None:
        while True:
            try:
                await asyncio.to_thread(self.recovery.scan)
            except (RedisError, OSError) as error:
                log.warning("the recovery scan will be tried again: %s", error)
            await asyncio.sleep(SCAN_EVERY_S)

    async def check_model_now_and_then(self) -> None:
        async with make_client(self.settings).with_options(
            timeout=PROBE_TIMEOUT_S, max_retries=0
        ) as client:
            while True:
                try:
                    model = find_model(self.settings)
                    await check_server(client, model)
                    self.model_state, self.served_digest = "ok", model.digest
                except QuorumError as error:
                    self.model_state = str(error)
                await asyncio.sleep(MODEL_CHECK_EVERY_S)


def get_service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


ServiceDep = Annotated[Service, Depends(get_service)]


def job_settings(
    samples: Annotated[int, Form(description="samples drawn per question, 1 to 64")] = 3,
    temperature: Annotated[float | None, Form(description="default: the contract's")] = None,
    top_p: Annotated[float | None, Form(description="default: the contract's")] = None,
    max_tokens: Annotated[int | None, Form(description="default: the contract's")] = None,
    seed: Annotated[int, Form()] = 0,
    early_stop: Annotated[
        bool, Form(description="stop drawing when no sample left could change the winner")
    ] = True,
    submission_format: Annotated[str, Form(description="full or minimal")] = "full",
    allow_partial: Annotated[
        bool, Form(description="make a submission also when questions have no answer")
    ] = False,
) -> JobSettings:
    try:
        return JobSettings(
            samples=samples,
            temperature=temperature,
            top_p=top_p,
            max_tokens=max_tokens,
            seed=seed,
            early_stop=early_stop,
            submission_format=submission_format,
            allow_partial=allow_partial,
        )
    except ValidationError as error:
        first = error.errors()[0]
        raise InvalidSettingError(
            f"{first['loc'][0]}: {first['msg']}, is {first['input']!r}"
        ) from error


SettingsDep = Annotated[JobSettings, Depends(job_settings)]


def create_app(settings: Settings) -> FastAPI:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        service = app.state.service = Service(settings)
        tasks = [
            asyncio.create_task(service.scan_now_and_then()),
            asyncio.create_task(service.check_model_now_and_then()),
        ]
        yield
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    app = FastAPI(
        title="Quorum",
        description="Answers multiple-choice problem files by vote.",
        version="0.1.0",
        lifespan=lifespan,
        max_body_size=settings.max_upload_mib * 2**20,
    )
    app.add_exception_handler(QuorumError, render_error)
    app.add_exception_handler(RequestValidationError, render_error)
    app.add_exception_handler(HTTPException, render_error)

    @app.post("/jobs", status_code=202, responses={422: {"model": ProblemDetails}})
    def post_job(
        file: UploadFile, chosen: SettingsDep, service: ServiceDep, response: Response
    ) -> Job:
        """Take a problem file as a new job.

        The whole file is checked first; a faulty one leaves nothing behind.
        """
        job = service.store.create(
            file.file.read(),
            file.filename or "problems.jsonl",
            chosen,
            service.settings.shard_questions,
        )
        try:
            enqueue(service.queue, job, list(range(job.shards)))
        except RedisError as error:
            log.warning(
                "%s is accepted; Redis is away, the recovery scan will enqueue it: %s",
                job.id,
                error,
            )
        response.headers["Location"] = f"/jobs/{job.id}"
        return service.view(job.id)

    @app.get("/jobs")
    def list_jobs(
        service: ServiceDep,
        limit: Annotated[int, Query(ge=1, le=100)] = 20,
        after: str | None = None,
    ) -> JobList:
        """Newest first. `after` is the last id of the page before."""
        ids = [job_id for job_id in service.store.ids() if after is None or job_id < after]
        return JobList(
            data=[service.view(job_id) for job_id in ids[:limit]], has_more=len(ids) > limit
        )

    @app.get("/jobs/{job_id}", responses={404: {"model": ProblemDetails}})
    def show_job(job_id: str, service: ServiceDep) -> Job:
        return service.view(job_id)

    def download(service: Service, job_id: str, name: str) -> FileResponse:
        path = service.store.directory(job_id) / name
        if not path.is_file():
            view = service.view(job_id)
            counts = view.request_counts
            reason = (
                view.error
                or f"{counts.completed + counts.failed} of {counts.total} questions are done"
            )
            raise NotReadyError(f"{name} is not there; the job is {view.status}: {reason}")
        return FileResponse(path, media_type="application/jsonl", filename=f"{job_id}-{name}")

    @app.get("/jobs/{job_id}/submission", responses={409: {"model": ProblemDetails}})
    def get_submission(job_id: str, service: ServiceDep) -> FileResponse:
        """The rows as posted, each question answered."""
        return download(service, job_id, "submission.jsonl")

    @app.get("/jobs/{job_id}/answers", responses={409: {"model": ProblemDetails}})
    def get_answers(job_id: str, service: ServiceDep) -> FileResponse:
        """One line a question: answer, agreement, tally, flags and every sample."""
        return download(service, job_id, "answers.jsonl")

    @app.get("/jobs/{job_id}/errors", responses={409: {"model": ProblemDetails}})
    def get_errors(job_id: str, service: ServiceDep) -> FileResponse:
        """One line for each question that has no answer, and why."""
        return download(service, job_id, "errors.jsonl")

    @app.get("/healthz")
    def healthz() -> Health:
        """The process is alive."""
        return Health()

    @app.get("/readyz", responses={503: {"model": Readiness}})
    async def readyz(service: ServiceDep, response: Response) -> Readiness:
        """Redis, the data volume and the model are there.

        Jobs are accepted without the model, and wait for it.
        """
        redis_state = await _redis_state(service.settings.redis_url)
        volume_state = await asyncio.to_thread(_volume_state, service.settings)
        ready = redis_state == volume_state == service.model_state == "ok"
        response.status_code = 200 if ready else 503
        return Readiness(
            ready=ready, redis=redis_state, volume=volume_state, model=service.model_state
        )

    return app


async def _redis_state(url: str) -> str:
    try:
        async with redis.asyncio.from_url(url, socket_timeout=PROBE_TIMEOUT_S) as connection:
            await connection.ping()
    except (RedisError, OSError) as error:
        return str(error)
    return "ok"


def _volume_state(settings: Settings) -> str:
    probe = settings.data_dir / ".writable"
    try:
        settings.data_dir.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"")
        probe.unlink(missing_ok=True)
    except OSError as error:
        return f"{settings.data_dir} cannot be written: {error.strerror}"
    return "ok"


async def render_error(request: Request, error: Exception) -> JSONResponse:
    """Every refusal as problem details (RFC 9457)."""
    headers: dict[str, str] = {}
    if isinstance(error, QuorumError):
        details = ProblemDetails(title=error.title, status=error.status, detail=str(error))
        if isinstance(error, InvalidFileError):
            faults = [
                Fault(line=line, place=place, reason=reason) for line, place, reason in error.faults
            ]
            details = details.model_copy(update={"errors": faults, "error_count": error.total})
    elif isinstance(error, RequestValidationError):
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"][1:]))
        details = ProblemDetails(
            title="The request cannot be taken", status=422, detail=f"{where}: {first['msg']}"
        )
    elif isinstance(error, HTTPException):
        details = ProblemDetails(title=error.detail, status=error.status_code, detail=error.detail)
        headers = dict(error.headers or {})
    else:
        raise error
    body: dict[str, Any] = details.model_dump(exclude_none=True)
    return JSONResponse(body, details.status, headers, media_type="application/problem+json")


def main() -> None:
    logs.configure()
    settings = Settings()
    uvicorn.run(
        create_app(settings), host=settings.api_host, port=settings.api_port, log_level="warning"
    )


if __name__ == "__main__":
    main()
