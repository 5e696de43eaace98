"""The objects that the HTTP API returns."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from contract import CodedMessage, Contract, FileFault, Sentence, coded
from contract.problems import FaultUnit
from orchestrator.api.job_start import JobStart
from orchestrator.jobs.records import Counts, EndFile, JobFile, JobSettings, StartFile
from orchestrator.jobs.submission import submission_file

# The statuses of the OpenAI Batch API.
Status = Literal[
    "validating", "in_progress", "finalizing", "completed", "failed", "cancelling", "cancelled"
]
ENDED: tuple[Status, ...] = ("completed", "failed", "cancelled")


class RequestCounts(BaseModel):
    """Numbers of the job's questions."""

    total: int
    completed: int
    failed: int


class SampleCounts(BaseModel):
    """Numbers of completions: those drawn, and those saved by early stopping."""

    drawn: int
    saved: int


class RunningAccuracy(BaseModel):
    """The accuracy over the questions answered so far."""

    correct: int
    answered: int
    value: float


class Job(BaseModel):
    """A job.

    `name` and `metadata` are the sender's; they change nothing but where the job is found. Rates
    are per second; `eta_s` is in seconds; `accuracy` is set if every question has a key. `note` is
    the reason why the job waits. A job with damaged files has failed, and `error` names the file.
    `recognized` says what a file of another shape than ours was read as. `note_message`,
    `error_message` and `recognized_message` are the same sentences with code and parameters.
    `submission_file` is the name of the submission; its suffix tells the format.
    `start` has the model, its sampling values and what its endpoint refused; None until the job
    starts.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "id": "job_20261123101500123_0a1b2c3d",
                    "object": "job",
                    "status": "in_progress",
                    "note": None,
                    "note_message": None,
                    "error": None,
                    "error_message": None,
                    "name": "law, first try",
                    "metadata": {"subject": "law"},
                    "filename": "problems.jsonl",
                    "recognized": "read as flat rows (CSV): the question is question, the options "
                    "are A, B, C, D",
                    "recognized_message": None,
                    "submission_file": "submission.jsonl",
                    "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
                    "created_at": "2026-11-23T10:15:00.123+00:00",
                    "started_at": "2026-11-23T10:15:00.456+00:00",
                    "finished_at": None,
                    "settings": JobSettings().model_dump(),
                    "request_counts": {"total": 1328, "completed": 512, "failed": 0},
                    "samples": {"drawn": 1290, "saved": 246},
                    "agreement": 0.91,
                    "accuracy": None,
                    "questions_per_s": 11.2,
                    "samples_per_s": 28.2,
                    "eta_s": 72.9,
                    "start": None,
                }
            ]
        }
    )

    id: str
    object: Literal["job"] = "job"
    status: Status
    note: str | None
    note_message: CodedMessage | None = None
    error: str | None
    error_message: CodedMessage | None = None
    name: str | None = None
    metadata: dict[str, str] = {}
    filename: str
    recognized: str | None = None
    recognized_message: CodedMessage | None = None
    submission_file: str = "submission.jsonl"
    sha256: str
    created_at: str
    started_at: str | None
    finished_at: str | None
    settings: JobSettings
    request_counts: RequestCounts
    samples: SampleCounts
    agreement: float | None
    accuracy: RunningAccuracy | None
    questions_per_s: float | None = None
    samples_per_s: float | None = None
    eta_s: float | None = None
    start: JobStart | None = None

    @classmethod
    def of(
        cls,
        job: JobFile,
        counts: Counts,
        status: Status,
        started: StartFile | None,
        end: EndFile | None,
        note: str | None,
    ) -> Job:
        correct, answered = counts.correct, counts.completed
        return cls(
            id=job.id,
            status=status,
            note=note,
            note_message=coded(note),
            error=end.error if end else None,
            error_message=end.error_message if end else None,
            name=job.name,
            metadata=job.metadata,
            filename=job.filename,
            recognized=job.recognized.statement.text if job.recognized else None,
            recognized_message=job.recognized.statement if job.recognized else None,
            submission_file=submission_file(job).name,
            sha256=job.sha256,
            created_at=job.created_at,
            started_at=started.started_at if started else None,
            finished_at=end.finished_at if end else None,
            settings=job.settings,
            request_counts=RequestCounts(
                total=job.questions, completed=answered, failed=counts.failed
            ),
            samples=SampleCounts(drawn=counts.drawn, saved=counts.saved),
            agreement=counts.agreement,
            accuracy=RunningAccuracy(correct=correct, answered=answered, value=correct / answered)
            if job.labelled and answered
            else None,
            start=JobStart.of(started) if started else None,
        )

    @classmethod
    def damaged(cls, job_id: str, job: JobFile | None, error: Sentence) -> Job:
        """A job whose records cannot be read; `job` is None if job.json cannot be read either."""
        if job is None:
            accepted = datetime.strptime(job_id.split("_")[1] + "000", "%Y%m%d%H%M%S%f")
            job = JobFile(
                id=job_id,
                created_at=accepted.replace(tzinfo=UTC).isoformat(timespec="milliseconds"),
                filename="problems.jsonl",
                sha256="",
                problems=0,
                questions=0,
                labelled=False,
                shards=(),
                settings=JobSettings(),
            )
        view = cls.of(job, Counts(), "failed", None, None, None)
        view.error, view.error_message = error, coded(error)
        return view


class JobList(BaseModel):
    """Jobs, newest first. For the next page, set `after` to the last id of this one."""

    object: Literal["list"] = "list"
    data: list[Job]
    has_more: bool


class Deleted(BaseModel):
    id: str
    object: Literal["job"] = "job"
    deleted: Literal[True] = True


class Model(BaseModel):
    """The model that answers jobs.

    `state` is "ok", or the fault of the server, which `state_message` has with code and
    parameters. `contract` is None for an endpoint that is asked as PROMPT_FORMAT says.
    """

    name: str
    digest: str | None
    state: str
    state_message: CodedMessage | None = None
    contract: Contract | None


class PublishedModel(BaseModel):
    """A published model's short form. `current` is True for the model that is served, or will be
    next.
    """

    name: str
    digest: str
    current: bool
    created: str
    base_model: str
    recipe: str
    size_bytes: int


class ModelList(BaseModel):
    """Models, newest first."""

    object: Literal["list"] = "list"
    data: list[PublishedModel]


class TrainedModel(PublishedModel):
    """A published model with the records of its training.

    `metrics` has one entry per step. `data` and `verification` are None if the model has no such
    file.
    """

    contract: Contract
    metrics: list[dict[str, Any]]
    data: dict[str, Any] | None
    verification: dict[str, Any] | None


class Fault(BaseModel):
    """A fault in a problem file: its line (from 1), its place in the row, and the reason.

    `unit` says what `line` counts: lines, or the rows of an array or a table without lines. With
    `file`, the fault belongs to the whole file, and `line` is 1.
    """

    line: int
    unit: FaultUnit = "line"
    place: str
    reason: str
    reason_message: CodedMessage

    @classmethod
    def of(cls, fault: FileFault) -> Fault:
        line, place, reason, unit = fault
        return cls(
            line=line, unit=unit, place=place, reason=reason, reason_message=reason.message()
        )


class ProblemDetails(BaseModel):
    """RFC 9457. `type` names the kind of failure and is stable: programs should use it, not the
    sentences. It is about:blank if the HTTP status alone tells the kind. `detail_message` is the
    sentence `detail` with its code and parameters. `errors`, `error_count` and `stopped` are set
    for a refused problem file. If `stopped`, reading stopped after so many errors; there may be
    more.
    """

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "type": "/problems/no-such-question",
                    "title": "No such question",
                    "status": 404,
                    "detail": "there is no question 7; the job has 4, counted from 0",
                    "detail_message": {
                        "code": "no-such-question",
                        "text": "there is no question 7; the job has 4, counted from 0",
                        "params": {"position": 7, "count": 4},
                    },
                    "request_id": "4f2a9c01d7e34b55",
                }
            ]
        }
    )

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    detail_message: CodedMessage | None = None
    request_id: str | None = None
    errors: list[Fault] | None = None
    error_count: int | None = None
    stopped: bool | None = None


class Health(BaseModel):
    status: Literal["ok"] = "ok"


class Readiness(BaseModel):
    """The state of each part: "ok", or its fault."""

    ready: bool
    redis: str
    volume: str
    volume_message: CodedMessage | None = None
    model: str
    model_message: CodedMessage | None = None
