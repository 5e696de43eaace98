"""What the HTTP API returns."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel

from orchestrator.progress import Progress
from orchestrator.records import EndFile, JobFile, JobSettings

# The statuses of the OpenAI Batch API.
Status = Literal[
    "validating", "in_progress", "finalizing", "completed", "failed", "cancelling", "cancelled"
]


class RequestCounts(BaseModel):
    """Questions of the job."""

    total: int
    completed: int
    failed: int


class SampleCounts(BaseModel):
    """Completions drawn, and those that early stopping made needless."""

    drawn: int
    saved: int


class Accuracy(BaseModel):
    correct: int
    answered: int
    value: float


class Job(BaseModel):
    """A job.

    Rates are per second; `eta_s` is in seconds; `accuracy` is there where every question has a key.
    """

    id: str
    object: Literal["job"] = "job"
    status: Status
    note: str | None
    error: str | None
    filename: str
    sha256: str
    created_at: str
    finished_at: str | None
    settings: JobSettings
    request_counts: RequestCounts
    samples: SampleCounts
    agreement: float | None
    accuracy: Accuracy | None
    questions_per_s: float | None
    samples_per_s: float | None
    eta_s: float | None

    @classmethod
    def of(cls, job: JobFile, progress: Progress, end: EndFile | None, note: str | None) -> Job:
        running = end is None
        status: Status = (
            end.status if end else "finalizing" if progress.done == job.questions else "in_progress"
        )
        correct, answered = progress.correct, progress.completed
        return cls(
            id=job.id,
            status=status,
            note=note,
            error=end.error if end else None,
            filename=job.filename,
            sha256=job.sha256,
            created_at=job.created_at,
            finished_at=end.finished_at if end else None,
            settings=job.settings,
            request_counts=RequestCounts(
                total=job.questions, completed=answered, failed=progress.failed
            ),
            samples=SampleCounts(drawn=progress.drawn, saved=progress.saved),
            agreement=progress.agreement,
            accuracy=Accuracy(correct=correct, answered=answered, value=correct / answered)
            if job.labelled and answered
            else None,
            questions_per_s=progress.questions_per_s,
            samples_per_s=progress.samples_per_s,
            eta_s=progress.eta_s if running else None,
        )


class JobList(BaseModel):
    """Newest first; `after` of the next page is the last id of this one."""

    object: Literal["list"] = "list"
    data: list[Job]
    has_more: bool


class Fault(BaseModel):
    line: int
    place: str
    reason: str


class ProblemDetails(BaseModel):
    """RFC 9457. `errors` and `error_count` come with a refused problem file."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    errors: list[Fault] | None = None
    error_count: int | None = None


class Health(BaseModel):
    status: Literal["ok"] = "ok"


class Readiness(BaseModel):
    """Each part's own word: "ok", or what is wrong with it."""

    ready: bool
    redis: str
    volume: str
    model: str
