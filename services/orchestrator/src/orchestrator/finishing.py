"""The end of a job: answers.jsonl, errors.jsonl and the submission, made from the journals in the
file's order.

Safe to do twice, also at once: the same journals give the same bytes, and each file is renamed into
place.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from contract import Problem
from orchestrator.files import write_atomically
from orchestrator.records import Answer, EndFile, JobFile
from orchestrator.store import JobStore, all_asked, now


def finish_if_complete(store: JobStore, job: JobFile) -> None:
    """Finish the job if each of its questions is journaled and it has not ended yet."""
    if store.end(job.id) is not None:
        return
    answers = store.answers(job)
    if len(answers) < job.questions:
        return
    problems = store.problems(job.id)
    ordered = [answers[asked.key] for asked in all_asked(problems)]
    failed = [answer for answer in ordered if answer.answer is None]
    directory = store.directory(job.id)
    write_atomically(
        directory / "answers.jsonl", _lines(a.model_dump(mode="json") for a in ordered)
    )
    write_atomically(
        directory / "errors.jsonl",
        _lines({"id": a.id, "index": a.index, "error": a.error} for a in failed),
    )
    if failed and not job.settings.allow_partial:
        error = f"{len(failed)} of {job.questions} questions have no answer; errors.jsonl says why"
        store.write_end(job.id, EndFile(status="failed", finished_at=now(), error=error))
        return
    rows = submission(problems, answers, job.settings.submission_format)
    write_atomically(directory / "submission.jsonl", _lines(rows))
    store.write_end(job.id, EndFile(status="completed", finished_at=now()))


def submission(
    problems: list[Problem], answers: dict[tuple[str, int], Answer], submission_format: str
) -> Iterable[dict[str, Any]]:
    """The rows in the order posted. A question without an answer gets null, never a stand-in."""
    for problem in problems:
        chosen = [answers[problem.id, index].answer for index in range(len(problem.questions))]
        if submission_format == "minimal":
            yield {"id": problem.row["id"], "questions": [{"answer": answer} for answer in chosen]}
        else:
            questions = zip(problem.row["questions"], chosen, strict=True)
            yield {
                **problem.row,
                "questions": [{**question, "answer": answer} for question, answer in questions],
            }


def _lines(rows: Iterable[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
