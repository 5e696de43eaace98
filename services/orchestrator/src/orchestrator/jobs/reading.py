"""Reads the jobs in a data folder; the module `store` lists their files."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path

from contract import CONTRACT_FILE, Contract, Problem, PromptFormat, Sentence, iter_problems
from orchestrator.errors import JobDamagedError, JobNotFoundError
from orchestrator.jobs.asked import Asked, all_asked
from orchestrator.jobs.calibration import Calibration
from orchestrator.jobs.files import read_record
from orchestrator.jobs.journal import fold, read_journal
from orchestrator.jobs.panels import PANEL_FILE, PinnedPanel
from orchestrator.jobs.records import Answer, Counts, Drawn, EndFile, JobFile, StartFile

log = logging.getLogger("quorum")

JOB_ID_PATTERN = r"^job_[0-9]{17}_[0-9a-f]{8}$"
# Our own rows. They are the posted file itself if that holds such rows, and made of it if not.
ROWS_FILE = "problems.jsonl"
# The posted file, byte for byte, if it is of another shape.
POSTED_FILE = "posted"
CALIBRATION_FILE = "calibration.json"
_JOB_ID = re.compile(JOB_ID_PATTERN)
_MISSING = Sentence("file-missing", "is missing")


class JobReader:
    """Reads the jobs under a data folder. `JobStore` also accepts, changes and removes them."""

    def __init__(self, data_dir: Path) -> None:
        self._jobs = data_dir / "jobs"
        self._said_damaged: set[str] = set()

    @property
    def folder(self) -> Path:
        """The folder that holds the jobs' directories."""
        return self._jobs

    def ids(self) -> list[str]:
        """The ids of all jobs, newest first."""
        if not self._jobs.is_dir():
            return []
        return sorted(
            (path.name for path in self._jobs.iterdir() if _JOB_ID.fullmatch(path.name)),
            reverse=True,
        )

    def open_jobs(self) -> Iterator[JobFile]:
        """Jobs that have not ended, oldest first. Damaged ones are skipped."""
        for job_id in reversed(self.ids()):
            if not self.has_ended(job_id):
                try:
                    yield self.load_whole(job_id)
                except JobDamagedError as error:
                    if job_id not in self._said_damaged:
                        self._said_damaged.add(job_id)
                        log.error("%s is passed over: %s", job_id, error)
                except JobNotFoundError:  # deleted since
                    continue
                else:
                    self._said_damaged.discard(job_id)

    def directory(self, job_id: str) -> Path:
        """The directory with the job's files.

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
            raise JobDamagedError(path, _MISSING)
        return found

    def load_whole(self, job_id: str) -> JobFile:
        """Read job.json, and check that all of the job's records can be read.

        Raises:
            JobNotFoundError, JobDamagedError: the latter names the first file that cannot be read.
        """
        job = self.load(job_id)
        self.started(job_id)
        self.panel(job_id)
        if self.end(job_id) is None:
            self.pinned(job_id)
            for path in (self.posted(job), self.rows(job_id)):
                if not path.is_file():
                    raise JobDamagedError(path, _MISSING)
        return job

    def rows(self, job_id: str) -> Path:
        """The file of the job's problems, in our own rows."""
        return self.directory(job_id) / ROWS_FILE

    def posted(self, job: JobFile) -> Path:
        """The posted file, byte for byte.

        Raises:
            JobNotFoundError, JobDamagedError: it is not there.
        """
        path = self.directory(job.id) / (POSTED_FILE if job.recognized else ROWS_FILE)
        if not path.is_file():
            raise JobDamagedError(path, _MISSING)
        return path

    def problems(self, job: JobFile, shard: int) -> list[Problem]:
        """The problems of one shard, in the file's order."""
        place = job.shards[shard]
        with self.rows(job.id).open("rb") as file:
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
        """A shard's journaled answers by question; the first one if a question has several."""
        return self.journaled(job, shard)[0]

    def journaled(
        self, job: JobFile, shard: int
    ) -> tuple[dict[tuple[str, int], Answer], dict[tuple[str, int], list[Drawn]]]:
        """A shard's answers, and the drawn samples of its questions without an answer."""
        return fold(read_journal(self.journal(job.id, shard)))

    def done_counts(self, job_id: str, shard: int) -> Counts | None:
        """The counts of a shard; None if it is not done.

        If they cannot be read, the shard counts as open: they can be made again from its journal.
        """
        try:
            return read_record(self._done(job_id, shard), Counts)
        except JobDamagedError as error:
            log.warning("counted anew: %s", error)
            return None

    def last_written_at_s(self, job_id: str) -> float:
        """The time of the last journaled answer, or else of the job's acceptance, as a
        time.time().
        """
        directory = self.directory(job_id)
        written = [*directory.glob("shards/*.jsonl"), directory / "job.json"]
        times = [0.0]
        for path in written:
            with suppress(FileNotFoundError):  # the job may have been deleted
                times.append(path.stat().st_mtime)
        return max(times)

    def open_shards(self, job: JobFile) -> list[int]:
        return [n for n in range(len(job.shards)) if self.done_counts(job.id, n) is None]

    def started(self, job_id: str) -> StartFile | None:
        return read_record(self.directory(job_id) / "start.json", StartFile)

    def end(self, job_id: str) -> EndFile | None:
        return read_record(self.directory(job_id) / "end.json", EndFile)

    def pinned(self, job_id: str) -> Contract | None:
        """The job's contract; None before the job has started, or if its model has no contract."""
        return read_record(self.directory(job_id) / CONTRACT_FILE, Contract)

    def panel(self, job_id: str) -> PinnedPanel | None:
        """The job's panel; None before the job has started, or if it has none."""
        return read_record(self.directory(job_id) / PANEL_FILE, PinnedPanel)

    def pinned_calibration(self, job_id: str) -> Calibration | None:
        """The calibration that held for the job when it started."""
        return read_record(self.directory(job_id) / CALIBRATION_FILE, Calibration)

    def prompt_format(self, job_id: str) -> PromptFormat:
        """The format in which a started job asks and by which its replies are read."""
        if pinned := self.pinned(job_id):
            return pinned.format
        started = self.started(job_id)
        chosen = started.prompt_format if started else None
        return chosen.format if chosen else PromptFormat()  # as earlier versions asked

    def result(self, job_id: str, name: str) -> Path | None:
        """The path of one of an ended job's `RESULTS`; None if it is not there."""
        path = self.directory(job_id) / name
        return path if path.is_file() else None

    def has_ended(self, job_id: str) -> bool:
        return (self._jobs / job_id / "end.json").exists()

    def is_cancelling(self, job_id: str) -> bool:
        """True if someone cancelled the job, or deleted it while it was damaged."""
        directory = self._jobs / job_id
        return (directory / "cancel").exists() or not directory.exists()

    def _done(self, job_id: str, shard: int) -> Path:
        return self._jobs / job_id / "shards" / f"{shard:04d}.done"
