"""Calls that read a job's content: its questions, its figures, its comparison with another job."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query

from orchestrator.api.access import ServiceDep, guarded_router, problems
from orchestrator.api.parameters import TEXT
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
    label: Annotated[
        str | None,
        Query(description="answered so: a label, or several (AC)", pattern="^[A-Z]{1,26}$"),
    ] = None,
    text: Annotated[
        str,
        Query(
            description="in problem, question, options or id",
            max_length=LONGEST_SEARCH,
            json_schema_extra={"pattern": TEXT},
        ),
    ] = "",
    order: Annotated[
        Order, Query(description="as posted, or the least agreed on or least sure first")
    ] = ("position"),
    offset: Annotated[int, Query(ge=0)] = 0,
    limit: Annotated[int, Query(ge=1, le=500)] = 100,
) -> QuestionList:
    """A page of a job's questions, also while the job runs."""
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
    """The sums over the answers so far, and the rate at which they came."""
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
    """Compare two ended jobs over the same questions: the paired difference, and the changed
    answers.
    """
    first, second = (service.store.load(name) for name in (job_id, to))
    for job in (first, second):
        service.views.result(job.id, "answers.jsonl")  # raises NotReadyError until it exists
    with service.questions.read(first) as index:
        one = index.verdicts()
    with service.questions.read(second) as index:
        two = index.verdicts()
    return compare_jobs(one, two)
