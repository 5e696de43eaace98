"""Ends a job: writes answers.jsonl, errors.jsonl, the submission and the report from the journals,
in the file's order, one shard at a time.

It may be done twice, even at the same time: the same journals give the same bytes, and each file is
renamed into place.

A job whose submission cannot be written fails with the reason, and keeps its answers. What is wrong
with the volume, such as no room, is raised instead: the job waits, and is finished later.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Literal

import structlog

from contract import ProblemFileError, Sentence, coded
from orchestrator.errors import QuorumError, shortened
from orchestrator.jobs.asked import all_asked
from orchestrator.jobs.confidence_report import ConfidenceSums
from orchestrator.jobs.counting import Counting
from orchestrator.jobs.judging import Judge
from orchestrator.jobs.records import Answer, Counts, EndFile, JobFile
from orchestrator.jobs.report import ReportBuilder
from orchestrator.jobs.report_models import Report
from orchestrator.jobs.store import JobStore, now
from orchestrator.jobs.submission import (
    SubmissionWriter,
    json_line,
    submission_fault,
    submission_file,
)
from orchestrator.replies import writable

log = structlog.get_logger("quorum")

EndStatus = Literal["completed", "failed", "cancelled"]


def finish(store: JobStore, job: JobFile) -> None:
    """End a job: as completed or failed if every shard is done, as cancelled if it is being
    cancelled.

    Does nothing otherwise, or if the job has ended. If a done shard's journal has lost an answer,
    the shard is open again, and the job goes on. A cancelled job gets no submission.

    Raises:
        OSError: the volume is full, or fails.
        JobDamagedError.
    """
    is_open, is_cancelling = bool(store.open_shards(job)), store.is_cancelling(job.id)
    if store.has_ended(job.id) or (is_open and not is_cancelling):
        return
    status: EndStatus
    status, error = ("cancelled", None) if is_cancelling else _status(store, job)
    finished_at = now()
    whole = status != "cancelled"
    try:
        try:
            counts, report = _write_results(
                store, job, finished_at, whole=whole, with_submission=status == "completed"
            )
        except _NoSubmissionError as failed:
            log.exception("the submission cannot be written", job=job.id)
            status, error = "failed", failed.sentence
            counts, report = _write_results(
                store, job, finished_at, whole=True, with_submission=False
            )
    except _LostAnswerError as lost:
        log.error("a done shard's journal has lost an answer", job=job.id, shard=lost.shard)
        store.mark_open(job.id, lost.shard)
        return
    with store.writing_result(job.id, "report.json") as file:
        file.write(report.model_dump_json(indent=2).encode())
    end = EndFile(
        status=status,
        finished_at=finished_at,
        error=error,
        error_message=coded(error),
        counts=counts,
    )
    store.write_end(job.id, end)
    _log_end(end, report)


def _log_end(end: EndFile, report: Report) -> None:
    log.info(
        "job ended",
        job=report.job,
        status=end.status,
        reason=end.error,
        seconds=report.seconds,
        answered=report.answered,
        failed=report.failed,
        samples=report.samples["drawn"],
    )


def _status(store: JobStore, job: JobFile) -> tuple[EndStatus, Sentence | None]:
    """The status of a job whose shards are all done, and the reason if it has failed."""
    done = [store.done_counts(job.id, shard) or Counts() for shard in range(len(job.shards))]
    failed = sum(counts.failed for counts in done)
    if not failed or job.settings.allow_partial:
        fault = submission_fault(store, job)
        return ("failed", fault) if fault else ("completed", None)
    return "failed", Sentence(
        "questions-without-answer",
        "{failed} of {total} questions have no answer; errors.jsonl says why",
        failed=failed,
        total=job.questions,
    )


class _LostAnswerError(Exception):
    """The journal of a done shard lacks a question: its line was damaged after it was written."""

    def __init__(self, shard: int) -> None:
        super().__init__(shard)
        self.shard = shard


class _NoSubmissionError(Exception):
    """The submission cannot be written, and could not be later."""

    def __init__(self, reason: str) -> None:
        self.sentence = Sentence(
            "submission-not-written",
            "the submission could not be written: {reason}; answers.jsonl has the answers, and "
            "resuming the job tries again",
            reason=reason,
        )
        super().__init__(self.sentence)


@contextmanager
def _writing_submission() -> Iterator[None]:
    try:
        yield
    except QuorumError:
        raise
    except ProblemFileError as error:
        raise _NoSubmissionError(error.sentence) from error
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:  # the volume's, not the file's
            raise
        said = writable(shortened(f"{type(error).__name__}: {error}"))
        raise _NoSubmissionError(said) from error


def _write_results(
    store: JobStore, job: JobFile, finished_at: str, *, whole: bool, with_submission: bool
) -> tuple[Counts, Report]:
    counts = Counts()
    report = ReportBuilder(job, store.started(job.id), finished_at)
    judge = Judge.of(store, job)
    confidence = ConfidenceSums(job, judge)
    with ExitStack() as files:
        answers_file, errors_file = (
            files.enter_context(store.writing_result(job.id, name))
            for name in ("answers.jsonl", "errors.jsonl")
        )
        submission = None
        if with_submission:
            name = submission_file(job).name
            file = files.enter_context(store.writing_result(job.id, name))
            with _writing_submission():
                submission = SubmissionWriter(store, job, file, judge)
        for shard in range(len(job.shards)):
            answers, counting = store.answers(job, shard), Counting()
            for problem in store.problems(job, shard):
                found = [answers.get(asked.key) for asked in all_asked([problem])]
                journaled = [answer for answer in found if answer is not None]
                if whole and len(journaled) < len(found):
                    raise _LostAnswerError(shard)
                if judge is not None:
                    options = [len(question.options) for question in problem.questions]
                    journaled = [judge.judged(a, options[a.index]) for a in journaled]
                for answer in journaled:
                    counting.add(answer)
                    answers_file.write(answer.model_dump_json().encode() + b"\n")
                    if answer.failed:
                        errors_file.write(json_line(error_row(answer)))
                report.add(problem, journaled)
                confidence.add(problem, journaled)
                if submission is not None:
                    with _writing_submission():
                        submission.add(problem, journaled)
            counts += counting.counts()
        if submission is not None:
            with _writing_submission():
                submission.finish()
    return counts, report.build(confidence.report())


def error_row(answer: Answer) -> dict[str, Any]:
    """A line of errors.jsonl. Records of earlier versions have no `error_message`."""
    message = answer.error_message
    return {
        "id": answer.id,
        "index": answer.index,
        "error": answer.error,
        "error_message": message.model_dump() if message else None,
    }
