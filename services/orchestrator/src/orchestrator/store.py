"""The job directories: everything that is known of a job, and all one needs to move it to another
machine.

jobs/<id>/problems.jsonl   the posted file, byte for byte
          job.json         its settings and counts, as accepted
          contract.json    the contract it is answered under, once it has started
          shards/0000.jsonl ...  one journal of answers per shard
          answers.jsonl, errors.jsonl, submission.jsonl, end.json   at the end, end.json last
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from contract import Problem, ProblemFileError, Question, parse_problems
from orchestrator.errors import InvalidFileError, JobNotFoundError
from orchestrator.files import sync_directory, write_atomically
from orchestrator.journal import read_journal
from orchestrator.records import Answer, EndFile, JobFile, JobSettings

_JOB_ID = re.compile(r"job_[0-9]{17}_[0-9a-f]{8}")


@dataclass(frozen=True)
class Asked:
    """A question in its place: the problem's row, and the question's index in it (from 0)."""

    problem: Problem
    index: int

    @property
    def question(self) -> Question:
        return self.problem.questions[self.index]

    @property
    def key(self) -> tuple[str, int]:
        return self.problem.id, self.index


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


class JobStore:
    def __init__(self, data_dir: Path) -> None:
        self._jobs = data_dir / "jobs"

    def create(
        self, data: bytes, filename: str, settings: JobSettings, shard_questions: int
    ) -> JobFile:
        """Accept a problem file as a new job; the job is there whole or not at all.

        Raises:
            InvalidFileError: the file has faults; nothing is left behind.
        """
        try:
            problems = parse_problems(data)
        except ProblemFileError as error:
            raise InvalidFileError(error) from error
        questions = [question for problem in problems for question in problem.questions]
        stamp = datetime.now(UTC).strftime("%Y%m%d%H%M%S%f")[:17]
        job = JobFile(
            id=f"job_{stamp}_{secrets.token_hex(4)}",
            created_at=now(),
            filename=filename,
            sha256=hashlib.sha256(data).hexdigest(),
            problems=len(problems),
            questions=len(questions),
            labelled=all(question.answer is not None for question in questions),
            shards=-(-len(questions) // shard_questions),
            shard_questions=shard_questions,
            settings=settings,
        )
        new = self._jobs / f".new-{job.id}"
        (new / "shards").mkdir(parents=True)
        write_atomically(new / "problems.jsonl", data)
        write_atomically(new / "job.json", job.model_dump_json(indent=2).encode())
        new.rename(self._jobs / job.id)
        sync_directory(self._jobs)
        return job

    def ids(self) -> list[str]:
        """Every job, newest first."""
        if not self._jobs.is_dir():
            return []
        return sorted(
            (path.name for path in self._jobs.iterdir() if _JOB_ID.fullmatch(path.name)),
            reverse=True,
        )

    def directory(self, job_id: str) -> Path:
        """Where the job's files are.

        Raises:
            JobNotFoundError: there is no such job.
        """
        directory = self._jobs / job_id
        if not _JOB_ID.fullmatch(job_id) or not directory.is_dir():
            raise JobNotFoundError(job_id)
        return directory

    def load(self, job_id: str) -> JobFile:
        return JobFile.model_validate_json((self.directory(job_id) / "job.json").read_bytes())

    def problems(self, job_id: str) -> list[Problem]:
        return parse_problems((self.directory(job_id) / "problems.jsonl").read_bytes())

    def shard(self, job: JobFile, shard: int) -> list[Asked]:
        """The questions of one shard, in the file's order."""
        start = shard * job.shard_questions
        return list(all_asked(self.problems(job.id)))[start : start + job.shard_questions]

    def journal(self, job_id: str, shard: int) -> Path:
        return self.directory(job_id) / "shards" / f"{shard:04d}.jsonl"

    def answers(self, job: JobFile) -> dict[tuple[str, int], Answer]:
        """Every journaled answer by its question; of several for one question the last."""
        found = (read_journal(self.journal(job.id, shard))[0] for shard in range(job.shards))
        return {(answer.id, answer.index): answer for answers in found for answer in answers}

    def end(self, job_id: str) -> EndFile | None:
        try:
            return EndFile.model_validate_json((self.directory(job_id) / "end.json").read_bytes())
        except FileNotFoundError:
            return None

    def write_end(self, job_id: str, status: EndFile) -> None:
        write_atomically(self.directory(job_id) / "end.json", status.model_dump_json().encode())


def all_asked(problems: list[Problem]) -> Iterator[Asked]:
    return (
        Asked(problem, index) for problem in problems for index in range(len(problem.questions))
    )
