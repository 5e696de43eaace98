"""The HTTP API's calls that look into a job: its questions, its figures, another job beside it."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query

from orchestrator.api.access import ServiceDep, guarded_router, problems
from orchestrator.jobs.comparison import JobComparison, compare_jobs
from orchestrator.jobs.questions import Figures, Order, QuestionDetail, QuestionList, Show
from orchestrator.jobs.reading import JOB_ID_PATTERN

LONGEST_SEARCH = 200

router = guarded_router()


@router.get("/jobs/{job_id}/questions", responses=problems(404))
def list_questions(
    job_id: str,
    service: ServiceDep,
    show: Annotated[list[Show], Query(description="all of these must hold")] = [],  # noqa: B006
    label: Annotated[str | None, Query(description="answered so", pattern="^[A-Z]$")] = None,
    text: Annotated[
        str, Query(description="in problem, question, options or id", max_length=LONGEST_SEARCH)
    ] = "",
    order: Annotated[Order, Query(description="as posted, or the least agreed on first")] = (
        "position"
    ),
    offset: Annotated[int, Query(ge=0)] = 0,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> QuestionList:
    """The questions of a job in short, also of one that is under way."""
    job = service.store.load(job_id)
    with service.questions.read(job) as index:
        return index.list(show, label, text.strip(), order, offset, limit)


@router.get("/jobs/{job_id}/questions/{position}", responses=problems(404))
def show_question(job_id: str, position: int, service: ServiceDep) -> QuestionDetail:
    """One question with every sample, by its place in the posted file (from 0)."""
    job = service.store.load(job_id)
    with service.questions.read(job) as index:
        return index.detail(position)


@router.get("/jobs/{job_id}/figures", responses=problems(404))
def show_figures(job_id: str, service: ServiceDep) -> Figures:
    """What the answers so far add up to, and how fast they came."""
    job = service.store.load(job_id)
    ended = service.store.has_ended(job_id)
    with service.questions.read(job) as index:
        return index.figures(ended=ended)


@router.get("/jobs/{job_id}/comparison", responses=problems(404, 409))
def compare(
    job_id: str,
    service: ServiceDep,
    to: Annotated[str, Query(description="the second job", pattern=JOB_ID_PATTERN)],
) -> JobComparison:
    """Two ended jobs over the same questions: the paired difference, and which answers changed."""
    first, second = (service.store.load(name) for name in (job_id, to))
    for job in (first, second):
        service.views.result(job.id, "answers.jsonl")  # refused until it is there
    with service.questions.read(first) as index:
        one = index.verdicts()
    with service.questions.read(second) as index:
        two = index.verdicts()
    return compare_jobs(one, two)
