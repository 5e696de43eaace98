"""The job directories: everything that is known of a job, and all one needs to move it to another
machine.

jobs/<id>/problems.jsonl   the posted file, byte for byte
          job.json         its settings, and where each shard's problems lie in the file
          contract.json, start.json   what it is answered under, once it has started
          shards/0000.jsonl ...       one journal of answers and open votes per shard
          shards/0000.done ...        a shard's counts, once all of its questions are journaled
          cancel           someone asked for its end
          answers.jsonl, errors.jsonl, submission.jsonl, report.json, end.json   at the end,
                           end.json last
"""

from __future__ import annotations

import hashlib
import logging
import re
import secrets
import shutil
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, suppress
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from contract import (
    CONTRACT_FILE,
    Contract,
    Problem,
    ProblemFileError,
    iter_problems,
)
from contract.published import sync
from orchestrator.errors import (
    InvalidFileError,
    JobDamagedError,
    JobNotFoundError,
    KeyReusedError,
    StateError,
)
from orchestrator.jobs.accepting import copy_hashed, cut_into_shards
from orchestrator.jobs.asked import Asked, all_asked
from orchestrator.jobs.files import read_record, replacing, write_atomically, write_once
from orchestrator.jobs.journal import fold, read_journal
from orchestrator.jobs.records import (
    Answer,
    Counts,
    Drawn,
    EndFile,
    JobFile,
    JobSettings,
    StartFile,
)

log = logging.getLogger("quorum")

RESULTS = ("answers.jsonl", "errors.jsonl", "submission.jsonl", "report.json")
JOB_ID_PATTERN = r"^job_[0-9]{17}_[0-9a-f]{8}$"
_JOB_ID = re.compile(JOB_ID_PATTERN)


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


class JobStore:
    """The jobs under a data folder. One process accepts jobs; any number reads and answers them."""

    def __init__(self, data_dir: Path) -> None:
        self._jobs = data_dir / "jobs"
        self._accepting = threading.Lock()
        self._said_damaged: set[str] = set()

    # ---- accepting ----------------------------------------------------------------------------

    def create(
        self,
        file: BinaryIO,
        filename: str,
        settings: JobSettings,
        shard_questions: int,
        idempotency_key: str | None = None,
    ) -> tuple[JobFile, bool]:
        """Accept a problem file as a new job; the job is there whole or not at all.

        The file is copied and checked in pieces, and never held as a whole. Returns the job, and
        whether it is new: a file that was posted before with the same idempotency key is not.

        Raises:
            InvalidFileError: the file has faults; nothing is left behind.
            KeyReusedError: the idempotency key came with another file or other settings.
        """
        stamp = datetime.now(UTC).strftime("%Y%m%d%H%M%S%f")[:17]
        job_id = f"job_{stamp}_{secrets.token_hex(4)}"
        new = self._jobs / f".new-{job_id}"
        (new / "shards").mkdir(parents=True)
        try:
            sha256 = copy_hashed(file, new / "problems.jsonl")
            try:
                shards, labelled = cut_into_shards(new / "problems.jsonl", shard_questions)
            except ProblemFileError as error:
                raise InvalidFileError(error) from error
            job = JobFile(
                id=job_id,
                created_at=now(),
                filename=filename,
                sha256=sha256,
                problems=sum(shard.problems for shard in shards),
                questions=sum(shard.questions for shard in shards),
                labelled=labelled,
                shards=tuple(shards),
                settings=settings,
                idempotency_key=idempotency_key,
            )
            write_atomically(new / "job.json", job.model_dump_json(indent=2).encode())
            with self._accepting:
                earlier = self._accepted_before(job)
                if earlier is not None:
                    return earlier, False
                if idempotency_key is not None:
                    write_atomically(self._key_file(idempotency_key), job_id.encode())
                new.rename(self._jobs / job_id)
                sync(self._jobs)
            return job, True
        finally:
            shutil.rmtree(new, ignore_errors=True)

    def _accepted_before(self, job: JobFile) -> JobFile | None:
        """The job that was accepted under this job's idempotency key."""
        if job.idempotency_key is None:
            return None
        try:
            earlier = self.load(self._key_file(job.idempotency_key).read_text())
        except (FileNotFoundError, JobNotFoundError):  # never seen, or deleted since
            return None
        if (earlier.sha256, earlier.settings) != (job.sha256, job.settings):
            raise KeyReusedError(
                f"the Idempotency-Key was used for {earlier.id}, with another file or settings"
            )
        return earlier

    def _key_file(self, key: str) -> Path:
        folder = self._jobs / ".keys"
        folder.mkdir(exist_ok=True)
        return folder / hashlib.sha256(key.encode()).hexdigest()

    def sweep(self) -> None:
        """Remove what a process that was killed left of files not accepted, or half deleted."""
        for pattern in (".new-*", ".deleted-*"):
            for path in self._jobs.glob(pattern):
                shutil.rmtree(path, ignore_errors=True)

    # ---- reading ------------------------------------------------------------------------------

    def ids(self) -> list[str]:
        """Every job, newest first."""
        if not self._jobs.is_dir():
            return []
        return sorted(
            (path.name for path in self._jobs.iterdir() if _JOB_ID.fullmatch(path.name)),
            reverse=True,
        )

    def open_jobs(self) -> Iterator[JobFile]:
        """Jobs that have not ended, oldest first; damaged ones are passed over."""
        for job_id in reversed(self.ids()):
            if not self.has_ended(job_id):
                try:
                    yield self.load_whole(job_id)
                except JobDamagedError as error:
                    if job_id not in self._said_damaged:
                        self._said_damaged.add(job_id)
                        log.error("%s is passed over: %s", job_id, error)
                except JobNotFoundError:  # deleted meanwhile
                    continue
                else:
                    self._said_damaged.discard(job_id)

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
        """job.json.

        Raises:
            JobNotFoundError, JobDamagedError.
        """
        path = self.directory(job_id) / "job.json"
        found = read_record(path, JobFile)
        if found is None:
            raise JobDamagedError(path, "is missing")
        return found

    def load_whole(self, job_id: str) -> JobFile:
        """job.json of a job all of whose records can be read.

        Raises:
            JobNotFoundError, JobDamagedError: the latter names the first file that cannot be.
        """
        job = self.load(job_id)
        self.started(job_id)
        if self.end(job_id) is None:
            self.pinned(job_id)
            posted = self.posted(job_id)
            if not posted.is_file():
                raise JobDamagedError(posted, "is missing")
        return job

    def posted(self, job_id: str) -> Path:
        """The posted file, byte for byte."""
        return self.directory(job_id) / "problems.jsonl"

    def problems(self, job: JobFile, shard: int) -> list[Problem]:
        """The problems of one shard, in the file's order."""
        place = job.shards[shard]
        with self.posted(job.id).open("rb") as file:
            file.seek(place.offset)
            return list(
                islice(
                    iter_problems(file, first_line=place.line, first_offset=place.offset),
                    place.problems,
                )
            )

    def shard(self, job: JobFile, shard: int) -> list[Asked]:
        """The questions of one shard, in the file's order."""
        return list(all_asked(self.problems(job, shard)))

    def journal(self, job_id: str, shard: int) -> Path:
        return self.directory(job_id) / "shards" / f"{shard:04d}.jsonl"

    def answers(self, job: JobFile, shard: int) -> dict[tuple[str, int], Answer]:
        """A shard's journaled answers by question; of several for one question the first."""
        return self.journaled(job, shard)[0]

    def journaled(
        self, job: JobFile, shard: int
    ) -> tuple[dict[tuple[str, int], Answer], dict[tuple[str, int], list[Drawn]]]:
        """A shard's answers, and of the questions without one what was drawn for them."""
        return fold(read_journal(self.journal(job.id, shard)))

    def done_counts(self, job_id: str, shard: int) -> Counts | None:
        """The counts of a shard that is done, else None.

        Where they cannot be read, the shard is open again: its journal holds what they are made of.
        """
        try:
            return read_record(self._done(job_id, shard), Counts)
        except JobDamagedError as error:
            log.warning("counted anew: %s", error)
            return None

    def last_written_at_s(self, job_id: str) -> float:
        """When an answer was last journaled, or else the job accepted, as a time.time()."""
        directory = self.directory(job_id)
        written = [*directory.glob("shards/*.jsonl"), directory / "job.json"]
        times = [0.0]
        for path in written:
            with suppress(FileNotFoundError):  # the job may be deleted meanwhile
                times.append(path.stat().st_mtime)
        return max(times)

    def open_shards(self, job: JobFile) -> list[int]:
        return [n for n in range(len(job.shards)) if self.done_counts(job.id, n) is None]

    def started(self, job_id: str) -> StartFile | None:
        return read_record(self.directory(job_id) / "start.json", StartFile)

    def end(self, job_id: str) -> EndFile | None:
        return read_record(self.directory(job_id) / "end.json", EndFile)

    def pinned(self, job_id: str) -> Contract | None:
        """What the job is answered under; None before it has started, or without a contract."""
        return read_record(self.directory(job_id) / CONTRACT_FILE, Contract)

    def result(self, job_id: str, name: str) -> Path | None:
        """A file that an ended job has left, one of `RESULTS`; None if it is not there."""
        path = self.directory(job_id) / name
        return path if path.is_file() else None

    def has_ended(self, job_id: str) -> bool:
        return (self._jobs / job_id / "end.json").exists()

    def is_cancelling(self, job_id: str) -> bool:
        """Whether someone asked for the job's end, or deleted it as damaged."""
        directory = self._jobs / job_id
        return (directory / "cancel").exists() or not directory.exists()

    # ---- a job's life -------------------------------------------------------------------------

    def pin(self, job_id: str, contract: bytes) -> Contract | None:
        """Pin a contract to the job, unless another shard was first; the one that is pinned now."""
        write_once(self.directory(job_id) / CONTRACT_FILE, contract)
        return self.pinned(job_id)

    def write_start(self, job_id: str, start: StartFile) -> None:
        """Write start.json, unless another shard was first."""
        data = start.model_dump_json(indent=2).encode()
        write_once(self.directory(job_id) / "start.json", data)

    def writing_result(self, job_id: str, name: str) -> AbstractContextManager[BinaryIO]:
        """A file to write one of `RESULTS` in pieces; it appears whole when the body ends well."""
        return replacing(self.directory(job_id) / name)

    def mark_done(self, job_id: str, shard: int, counts: Counts) -> None:
        write_atomically(self._done(job_id, shard), counts.model_dump_json().encode())

    def write_end(self, job_id: str, status: EndFile) -> None:
        write_atomically(self.directory(job_id) / "end.json", status.model_dump_json().encode())

    def cancel(self, job_id: str) -> None:
        """Ask for the job's end.

        Raises:
            StateError: it has ended.
            JobDamagedError.
        """
        self.load_whole(job_id)
        end = self.end(job_id)
        if end is not None and end.status != "cancelled":
            raise StateError(f"{job_id} has ended already, it is {end.status}")
        write_atomically(self.directory(job_id) / "cancel", b"")

    def resume(self, job_id: str) -> None:
        """Open an ended job again for what is unanswered or failed.

        end.json goes last, so that a job half resumed can be resumed once more.

        Raises:
            StateError: it has not ended, or nothing is left to do.
            JobDamagedError.
        """
        job, directory = self.load_whole(job_id), self.directory(job_id)
        self.pinned(job_id)
        end = self.end(job_id)
        if end is None:
            raise StateError(f"{job_id} has not ended; wait for it, or cancel it first")
        if end.status == "completed" and end.counts is not None and not end.counts.failed:
            raise StateError(f"{job_id} is complete; nothing is left to do")
        for shard in range(len(job.shards)):
            answers, drawn = self.journaled(job, shard)
            kept = [answer for answer in answers.values() if answer.answer is not None]
            if len(kept) < len(answers):
                open_votes = [record for records in drawn.values() for record in records]
                lines = b"".join(
                    record.model_dump_json().encode() + b"\n" for record in (*kept, *open_votes)
                )
                self._done(job_id, shard).unlink(missing_ok=True)
                write_atomically(self.journal(job_id, shard), lines)
        for name in (*RESULTS, "cancel", "end.json"):
            (directory / name).unlink(missing_ok=True)
        sync(directory)

    def delete(self, job_id: str) -> None:
        """Remove an ended job, or a damaged one.

        Raises:
            StateError: it has not ended.
        """
        directory = self.directory(job_id)
        if not self.has_ended(job_id) and not self._is_damaged(job_id):
            raise StateError(f"{job_id} has not ended; cancel it first")
        gone = self._jobs / f".deleted-{job_id}"
        directory.rename(gone)
        sync(self._jobs)
        shutil.rmtree(gone, ignore_errors=True)

    def _is_damaged(self, job_id: str) -> bool:
        try:
            self.load_whole(job_id)
        except JobDamagedError:
            return True
        return False

    def _done(self, job_id: str, shard: int) -> Path:
        return self._jobs / job_id / "shards" / f"{shard:04d}.done"
