"""The job directories. Each holds all data of a job, and is enough to move it to another machine.

jobs/<id>/problems.jsonl   its problems in our own rows; the posted file, if that holds such rows
          posted           the posted file, byte for byte, if it is of another shape
          job.json         its settings, and the position of each shard's problems in the file
          contract.json, start.json   its model, sampling values and versions, once it has started
          panel.json      its voters with all that their requests need, if it has a panel
          calibration.json            what its confidence comes from, if there was one then
          shards/0000.jsonl ...       one journal of answers and open votes per shard
          shards/0000.done ...        a shard's counts, once all of its questions are journaled
          cancel           the request to cancel it
          answers.jsonl, errors.jsonl, submission.jsonl (or another suffix, by its format),
          report.json, end.json   at the end, end.json last
"""

from __future__ import annotations

import hashlib
import logging
import secrets
import shutil
import threading
from collections.abc import Iterable
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from contract import CONTRACT_FILE, Contract, Sentence
from contract.files.filling import FILLING
from contract.published import sync
from contract.replacing import replacing
from orchestrator.errors import JobDamagedError, JobNotFoundError, KeyReusedError, StateError
from orchestrator.jobs.accepting import Taken, take_in
from orchestrator.jobs.calibration import Calibration
from orchestrator.jobs.files import write_atomically, write_once
from orchestrator.jobs.locks import held
from orchestrator.jobs.panels import PANEL_FILE, PinnedPanel
from orchestrator.jobs.reading import CALIBRATION_FILE, JobReader
from orchestrator.jobs.records import (
    Adapted,
    Counts,
    EndFile,
    JobFile,
    JobSettings,
    Particulars,
    StartFile,
)

log = logging.getLogger("quorum")

NOTHING_TOLD = Particulars()
# What a file may unpack to; MAX_UPLOAD_MIB's default.
MOST_BYTES = 200 << 20
# For the few milliseconds of another worker's change; its loop, and so its leases, waits meanwhile.
LOCK_PATIENCE_S = 2.0
# The results. Those of a submission have a suffix by its format (`submission`).
RESULTS = ("answers.jsonl", "errors.jsonl", "submission.*", "report.json")


def now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


class JobStore(JobReader):
    """The jobs under a data folder. One process accepts jobs; any number of them read and answer
    jobs.
    """

    def __init__(self, data_dir: Path) -> None:
        super().__init__(data_dir)
        self._accepting = threading.Lock()

    # ---- accepting ----------------------------------------------------------------------------

    def create(
        self,
        file: BinaryIO,
        filename: str,
        settings: JobSettings,
        shard_questions: int,
        idempotency_key: str | None = None,
        particulars: Particulars = NOTHING_TOLD,
        *,
        workers: int = 1,
        most_bytes: int = MOST_BYTES,
    ) -> tuple[JobFile, bool]:
        """Accept a problem file as a new job. The job appears complete or not at all.

        The file is copied and checked in pieces; it is never in memory as a whole. It is cut into
        shards for so many `workers`. Returns the job, and True if it is new. A file that was posted
        before with the same idempotency key is not new.

        Raises:
            InvalidFileError: the file has faults; nothing is kept.
            KeyReusedError: the idempotency key was used before with something else.
        """
        stamp = datetime.now(UTC).strftime("%Y%m%d%H%M%S%f")[:17]
        job_id = f"job_{stamp}_{secrets.token_hex(4)}"
        new = self._jobs / f".new-{job_id}"
        (new / "shards").mkdir(parents=True)
        try:
            taken = take_in(
                file,
                new,
                particulars.reading,
                most_bytes=most_bytes,
                shard_questions=shard_questions,
                workers=workers,
            )
            job = _job_file(job_id, filename, settings, idempotency_key, particulars, taken)
            write_atomically(new / "job.json", job.model_dump_json(indent=2).encode())
            earlier = self._put_in_place(job, new)
            return earlier or job, earlier is None
        finally:
            shutil.rmtree(new, ignore_errors=True)

    def _put_in_place(self, job: JobFile, new: Path) -> JobFile | None:
        """Rename a new job's folder into place. Returns the earlier job if it was accepted
        before.
        """
        with self._accepting:
            earlier = self._accepted_before(job)
            if earlier is None:
                if job.idempotency_key is not None:
                    write_atomically(self._key_file(job.idempotency_key), job.id.encode())
                new.rename(self._jobs / job.id)
                sync(self._jobs)
            return earlier

    def _accepted_before(self, job: JobFile) -> JobFile | None:
        """The job that was accepted under this job's idempotency key."""
        if job.idempotency_key is None:
            return None
        try:
            earlier = self.load(self._key_file(job.idempotency_key).read_text())
        except (FileNotFoundError, JobNotFoundError):  # no such key, or its job was deleted
            return None
        if _sent(earlier) != _sent(job):
            raise KeyReusedError(
                Sentence(
                    "key-reused",
                    "the Idempotency-Key was used for {job}, with another file, name, metadata, "
                    "reading or settings",
                    job=earlier.id,
                )
            )
        return earlier

    def _key_file(self, key: str) -> Path:
        folder = self._jobs / ".keys"
        folder.mkdir(exist_ok=True)
        return folder / hashlib.sha256(key.encode()).hexdigest()

    def sweep(self) -> None:
        """Remove the remains of a killed process: files not accepted yet, and jobs deleted in
        part.
        """
        for pattern in (".new-*", ".deleted-*"):
            for path in self._jobs.glob(pattern):
                shutil.rmtree(path, ignore_errors=True)

    # ---- a job's life -------------------------------------------------------------------------

    def pin(self, job_id: str, contract: bytes) -> Contract | None:
        """Pin a contract to the job, unless another shard was first. Returns the pinned
        contract.
        """
        write_once(self.directory(job_id) / CONTRACT_FILE, contract)
        return self.pinned(job_id)

    def pin_panel(self, job_id: str, panel: PinnedPanel) -> PinnedPanel | None:
        """Pin a panel to the job, unless another shard was first. Returns the pinned panel."""
        data = panel.model_dump_json(indent=2).encode()
        write_once(self.directory(job_id) / PANEL_FILE, data)
        return self.panel(job_id)

    def pin_calibration(self, job_id: str, calibration: Calibration) -> None:
        """Pin a calibration to the job, unless another shard was first."""
        path = self.directory(job_id) / CALIBRATION_FILE
        write_once(path, calibration.model_dump_json().encode())

    def write_start(self, job_id: str, start: StartFile) -> None:
        """Write start.json, unless another shard was first."""
        data = start.model_dump_json(indent=2).encode()
        write_once(self.directory(job_id) / "start.json", data)

    def add_adapted(self, job_id: str, entries: Iterable[Adapted]) -> None:
        """Add to start.json what the endpoint refuses, unless it is there.

        Workers that add at once wait for each other. If the data volume has no locks, one addition
        may be lost; each worker adds its own again at the end of its shards.

        Raises:
            TimeoutError: a worker that stopped in the middle of its change holds the lock.
        """
        path = self.directory(job_id) / "start.json"
        # start.json itself is replaced, and job.json never
        with held(path.with_name("job.json"), LOCK_PATIENCE_S):
            start = self.started(job_id)
            if start is None:
                return
            known = {entry.key for entry in start.adapted}
            added = tuple(entry for entry in entries if entry.key not in known)
            if added:
                start = start.model_copy(update={"adapted": start.adapted + added})
                write_atomically(path, start.model_dump_json(indent=2).encode())

    def writing_result(self, job_id: str, name: str) -> AbstractContextManager[BinaryIO]:
        """Yield a file to write a result in pieces. It appears complete if the body
        succeeds.
        """
        return replacing(self.directory(job_id) / name)

    def mark_done(self, job_id: str, shard: int, counts: Counts) -> None:
        write_atomically(self._done(job_id, shard), counts.model_dump_json().encode())

    def mark_open(self, job_id: str, shard: int) -> None:
        self._done(job_id, shard).unlink(missing_ok=True)

    def write_end(self, job_id: str, status: EndFile) -> None:
        """End the job. Removes what writers left that were killed before they renamed their files.

        If two processes end a job at once, this may remove a file of the other, which then fails.
        """
        directory = self.directory(job_id)
        pinned = (CONTRACT_FILE, PANEL_FILE, CALIBRATION_FILE)
        written_once = (*RESULTS, "end.json", "start.json", *pinned)
        for pattern in (*(f".{name}.*" for name in written_once), "shards/.*.done.*"):
            for path in directory.glob(pattern):
                path.unlink(missing_ok=True)
        for path in directory.glob(f"{FILLING}*"):
            shutil.rmtree(path, ignore_errors=True)
        write_atomically(directory / "end.json", status.model_dump_json().encode())

    def cancel(self, job_id: str) -> None:
        """Request the job's cancellation.

        Raises:
            StateError: the job has ended.
            JobDamagedError.
        """
        self.load_whole(job_id)
        end = self.end(job_id)
        if end is not None and end.status != "cancelled":
            raise StateError(
                Sentence(
                    "ended-already",
                    "{job} has ended already, it is {status}",
                    job=job_id,
                    status=end.status,
                )
            )
        write_atomically(self.directory(job_id) / "cancel", b"")

    def resume(self, job_id: str) -> None:
        """Reopen an ended job for its unanswered and failed questions.

        end.json is removed last, so an interrupted resume can be repeated.

        Raises:
            StateError: the job has not ended, or nothing is left to do.
            JobDamagedError.
        """
        job, directory = self.load_whole(job_id), self.directory(job_id)
        self.pinned(job_id)
        end = self.end(job_id)
        if end is None:
            raise StateError(
                Sentence(
                    "wait-or-cancel",
                    "{job} has not ended; wait for it, or cancel it first",
                    job=job_id,
                )
            )
        if end.status == "completed" and end.counts is not None and not end.counts.failed:
            raise StateError(
                Sentence("complete", "{job} is complete; nothing is left to do", job=job_id)
            )
        for shard in range(len(job.shards)):
            answers, drawn = self.journaled(job, shard)
            kept = [answer for answer in answers.values() if answer.answer is not None]
            if len(kept) < len(answers):
                open_votes = [record for records in drawn.values() for record in records]
                lines = b"".join(
                    record.model_dump_json().encode() + b"\n" for record in (*kept, *open_votes)
                )
                self.mark_open(job_id, shard)
                write_atomically(self.journal(job_id, shard), lines)
        results = [path for name in RESULTS for path in directory.glob(name)]
        for path in (*results, directory / "cancel", directory / "end.json"):
            path.unlink(missing_ok=True)
        sync(directory)

    def delete(self, job_id: str) -> None:
        """Remove an ended job, or a damaged one.

        Raises:
            StateError: the job has not ended.
        """
        directory = self.directory(job_id)
        if not self.has_ended(job_id) and not self._is_damaged(job_id):
            raise StateError(
                Sentence("cancel-first", "{job} has not ended; cancel it first", job=job_id)
            )
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


def _job_file(
    job_id: str,
    filename: str,
    settings: JobSettings,
    idempotency_key: str | None,
    told: Particulars,
    taken: Taken,
) -> JobFile:
    return JobFile(
        id=job_id,
        created_at=now(),
        filename=filename,
        sha256=taken.sha256,
        problems=sum(shard.problems for shard in taken.shards),
        questions=sum(shard.questions for shard in taken.shards),
        labelled=taken.labelled,
        shards=tuple(taken.shards),
        settings=settings,
        name=told.name,
        metadata=told.metadata,
        reading=told.reading,
        recognized=taken.recognized,
        idempotency_key=idempotency_key,
    )


def _sent(job: JobFile) -> tuple[object, ...]:
    """What a sender chose. A repeated post must have the same."""
    return job.sha256, job.reading, job.name, job.metadata, job.settings
