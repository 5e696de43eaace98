"""Calls about jobs: post, list, show, follow, cancel, resume, delete, download."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Annotated, Any
from unicodedata import category

import structlog
from fastapi import Depends, Header, Query, Response, UploadFile
from fastapi.responses import FileResponse, StreamingResponse
from pydantic import Field

from contract import Sentence
from orchestrator.api.abstaining import check_calibration
from orchestrator.api.access import ServiceDep, guarded_router, problems
from orchestrator.api.events import event_id, progress_events
from orchestrator.api.forms import job_settings, particulars
from orchestrator.api.panel_views import check_panel
from orchestrator.api.parameters import TEXT
from orchestrator.api.schemas import ENDED, Deleted, Job, JobList, Status
from orchestrator.api.service import Service
from orchestrator.errors import InvalidRequestError, shortened
from orchestrator.jobs.listing import Filters
from orchestrator.jobs.reading import JOB_ID_PATTERN, ROWS_FILE
from orchestrator.jobs.records import JobSettings, Particulars
from orchestrator.jobs.report_models import Report
from orchestrator.jobs.submission import submission_file

MAX_KEY_LENGTH = 255
LONGEST_FILENAME = 255
LONGEST_FILTER = 600
log = structlog.get_logger("quorum")

EVENTS = "text/event-stream"
PARTIAL: dict[int | str, dict[str, Any]] = {206: {"description": "The range that was asked for"}}

router = guarded_router()


@router.post("/jobs", status_code=202, responses=problems(413, 422, 507))
def post_job(
    file: UploadFile,
    chosen: Annotated[JobSettings, Depends(job_settings)],
    told: Annotated[Particulars, Depends(particulars)],
    service: ServiceDep,
    response: Response,
    idempotency_key: Annotated[
        str | None,
        Header(
            min_length=1,
            max_length=MAX_KEY_LENGTH,
            pattern="^[ -~]*$",
            description="the same key, file and form fields give the job that is there already",
        ),
    ] = None,
) -> Job:
    """Accept a file with questions as a new job.

    The whole file is checked first. A file with faults creates no job. A file of another shape than
    our own rows is converted; `recognized` says what it was read as.
    """
    check_panel(service.settings, chosen)
    check_calibration(service, chosen)
    job, is_new = service.store.create(
        file.file,
        _name_of(file),
        chosen,
        service.settings.shard_questions,
        idempotency_key,
        told,
        workers=max(service.work.workers, 1),
        most_bytes=service.settings.max_upload_mib << 20,
    )
    if is_new:
        log.info("job accepted", job=job.id, questions=job.questions, filename=job.filename)
        service.work.see_to(job)
    response.headers["Location"] = f"/jobs/{job.id}"
    return service.views.view(job.id)


def _name_of(file: UploadFile) -> str:
    """The file's name for display: shortened, without control characters."""
    name = file.filename or "problems.jsonl"
    shown = (c if category(c) not in ("Cc", "Cf", "Cs", "Zl", "Zp") else "\ufffd" for c in name)
    return "".join(shown)[-LONGEST_FILENAME:]


Pair = Annotated[
    str, Field(max_length=LONGEST_FILTER, json_schema_extra={"pattern": f"{TEXT[:-1]}={TEXT[1:]}"})
]


def _filter(about: str) -> Any:
    return Query(description=about, max_length=LONGEST_FILTER, json_schema_extra={"pattern": TEXT})


@router.get("/jobs")
def list_jobs(
    service: ServiceDep,
    limit: Annotated[int, Query(ge=1, le=100)] = 20,
    after: Annotated[str | None, Query(pattern=JOB_ID_PATTERN)] = None,
    name: Annotated[str, _filter("a part of the job's name, in any case")] = "",
    filename: Annotated[str, _filter("a part of the file's name, in any case")] = "",
    metadata: Annotated[list[Pair], Query(description="all of these must hold")] = [],  # noqa: B006
    status: Annotated[list[Status], Query(description="one of these")] = [],  # noqa: B006
) -> JobList:
    """Jobs, newest first. `after` is the last id of the previous page. All filters must match."""
    for pair in metadata:
        if "=" not in pair:
            raise InvalidRequestError(
                Sentence(
                    "no-pair",
                    "metadata: write key=value, is {given!r}",
                    given=shortened(pair),
                )
            )
    filters = Filters(name.strip(), filename.strip(), frozenset(metadata), frozenset(status))
    return service.views.page(filters, after, limit)


@router.get("/jobs/{job_id}", responses=problems(404))
def show_job(job_id: str, service: ServiceDep) -> Job:
    return service.views.view(job_id)


@router.get(
    "/jobs/{job_id}/events",
    response_class=StreamingResponse,
    responses={
        **problems(404),
        200: {"content": {EVENTS: {}}, "description": "Events, each with the job as its data"},
        204: {"description": "The job has ended, and the client has seen that"},
    },
)
def get_events(
    job_id: str, service: ServiceDep, last_event_id: Annotated[str | None, Header()] = None
) -> Response:
    """Server-sent events: `progress` whenever the job changes, then `end`. Both carry the job.

    A client that reconnects with the `Last-Event-ID` of an end gets 204, which tells it to stop.
    """
    job = service.views.view(job_id)
    if job.status in ENDED and last_event_id == event_id(job):
        return Response(status_code=204)
    headers = {"Cache-Control": "no-cache", "X-Accel-Buffering": "no"}
    events = progress_events(service, job, last_event_id)
    return StreamingResponse(events, media_type=EVENTS, headers=headers)


@router.post("/jobs/{job_id}/cancel", status_code=202, responses=problems(404, 409))
def cancel_job(job_id: str, service: ServiceDep) -> Job:
    """Stop a job. Running requests are aborted; the answers so far are kept."""
    service.store.cancel(job_id)
    log.info("job is to be cancelled", job=job_id)
    service.work.see_to(service.store.load(job_id))
    return service.views.view(job_id)


@router.post("/jobs/{job_id}/resume", status_code=202, responses=problems(404, 409))
def resume_job(job_id: str, service: ServiceDep) -> Job:
    """Reopen an ended job and ask its unanswered and failed questions again."""
    service.store.resume(job_id)
    log.info("job resumed", job=job_id)
    service.forget(job_id)
    service.work.see_to(service.store.load(job_id))
    return service.views.view(job_id)


@router.delete("/jobs/{job_id}", responses=problems(404, 409))
def delete_job(job_id: str, service: ServiceDep) -> Deleted:
    """Delete an ended job and all of its files."""
    service.store.delete(job_id)
    log.info("job deleted", job=job_id)
    service.forget(job_id)
    return Deleted(id=job_id)


@router.get(
    "/jobs/{job_id}/file",
    response_class=FileResponse,
    responses={**problems(404, 416), **PARTIAL},
)
def get_file(job_id: str, service: ServiceDep) -> FileResponse:
    """The posted file, byte for byte, under its own name."""
    job = service.store.load(job_id)
    name = re.split(r"[/\\]", job.filename)[-1] or ROWS_FILE
    # never its own type: a browser must not show what somebody posted as a page of ours
    return FileResponse(
        service.store.posted(job), media_type="application/octet-stream", filename=name
    )


@router.get(
    "/jobs/{job_id}/submission",
    response_class=FileResponse,
    responses={**problems(404, 409, 416), **PARTIAL},
)
def get_submission(job_id: str, service: ServiceDep) -> FileResponse:
    """The questions with their answers, in the format that the job was posted with."""
    return _result(job_id, service, *submission_file(service.store.load(job_id)))


def _result(job_id: str, service: Service, name: str, media_type: str) -> FileResponse:
    path = service.views.result(job_id, name)
    return FileResponse(path, media_type=media_type, filename=f"{job_id}-{name}")


def _add_download(what: str, name: str, media_type: str, summary: str) -> None:
    def get(job_id: str, service: ServiceDep) -> FileResponse:
        return _result(job_id, service, name, media_type)

    endpoint: Callable[..., FileResponse] = get
    router.add_api_route(
        f"/jobs/{{job_id}}/{what}",
        endpoint,
        name=f"get_{what}",
        description=summary,
        response_class=FileResponse,
        responses={
            **problems(404, 409, 416),
            **PARTIAL,
            **({200: {"model": Report}} if what == "report" else {}),
        },
    )


JSONL = "application/jsonl"
_add_download(
    "answers",
    "answers.jsonl",
    JSONL,
    "One line a question: answer, agreement, tally, flags and every sample.",
)
_add_download("errors", "errors.jsonl", JSONL, "The questions without an answer, and why.")
_add_download("report", "report.json", "application/json", "The finished job in numbers.")
