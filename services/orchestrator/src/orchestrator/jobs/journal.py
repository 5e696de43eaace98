"""A shard's journal: one line per answer, on disk within a second.

Samples that did not end their question's vote have lines before the answer's line.

A line counts once its newline is written. After a power cut, the last line may lack its newline, or
a block may be empty. Readers skip lines that are not records. The next writer cuts off an
incomplete last line. If an answer's line is lost, its question is open again. If a samples' line is
lost, those samples are drawn again.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from contract import Sentence
from orchestrator.jobs.records import Answer, Drawn

log = logging.getLogger("quorum")

SYNC_EVERY_S = 0.5
FULL_RETRY_S = 2.0
CHUNK_BYTES = 1 << 20
_RECORD: TypeAdapter[Answer | Drawn] = TypeAdapter(Answer | Drawn)
FULL = (errno.ENOSPC, errno.EDQUOT)


class Journal:
    """An open journal.

    `may_write` is called before each line. It raises if another writer has taken over.
    """

    def __init__(self, descriptor: int, may_write: Callable[[], None]) -> None:
        self._descriptor = descriptor
        self._may_write = may_write
        self._unsynced = False
        self.waits_for: Sentence | None = None

    async def append(self, record: Answer | Drawn) -> None:
        """Write one line. If the volume is full, keep the record and wait for room.

        Raises:
            whatever `may_write` raises; then nothing is written.
        """
        line = record.model_dump_json().encode() + b"\n"
        while True:
            self._may_write()
            try:
                self._write_whole(line)
                self.waits_for = None
                return
            except OSError as error:
                if error.errno not in FULL:
                    raise
                log.error("the data volume is full; an answer waits for room: %s", error)
                self.waits_for = Sentence(
                    "answer-waits-for-room",
                    "waiting for room: an answer cannot be written: {error}",
                    error=str(error.strerror),
                )
                await asyncio.sleep(FULL_RETRY_S)

    def _write_whole(self, line: bytes) -> None:
        written = 0
        try:
            while written < len(line):
                written += os.write(self._descriptor, line[written:])
        except OSError:
            os.ftruncate(self._descriptor, os.fstat(self._descriptor).st_size - written)
            raise
        self._unsynced = True

    def sync(self) -> None:
        if self._unsynced:
            self._unsynced = False
            os.fsync(self._descriptor)

    async def sync_now_and_then(self) -> None:
        while True:
            await asyncio.sleep(SYNC_EVERY_S)
            await asyncio.to_thread(self.sync)


@asynccontextmanager
async def open_journal(path: Path, may_write: Callable[[], None]) -> AsyncIterator[Journal]:
    """Open for appending after the last complete line; synced twice a second and at the end.

    The caller holds the shard's lease, so no other process writes here.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        os.ftruncate(descriptor, _whole_bytes(descriptor))
        journal = Journal(descriptor, may_write)
        syncing = asyncio.create_task(journal.sync_now_and_then())
        try:
            yield journal
        finally:
            syncing.cancel()
            await asyncio.gather(syncing, return_exceptions=True)
            journal.sync()
    finally:
        os.close(descriptor)


def _whole_bytes(descriptor: int) -> int:
    """The file's length up to and including its last newline, in bytes."""
    end = os.fstat(descriptor).st_size
    while end > 0:
        start = max(0, end - CHUNK_BYTES)
        newline = os.pread(descriptor, end - start, start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        end = start
    return 0


def journal_lines(path: Path, offset: int = 0) -> Iterator[tuple[bytes, int]]:
    """Yield complete lines from byte `offset` on, each with the offset after it. No file, no
    lines.
    """
    try:
        with path.open("rb") as file:
            file.seek(offset)
            for line in file:
                if not line.endswith(b"\n"):
                    return
                offset += len(line)
                yield line, offset
    except FileNotFoundError:
        return


def read_journal(path: Path) -> Iterator[Answer | Drawn]:
    """The records of a journal, in the order written."""
    for line, end in journal_lines(path):
        try:
            yield _RECORD.validate_json(line)
        except ValidationError:
            log.warning("%s: the line that ends at byte %d is no record; passed over", path, end)


def fold(
    records: Iterable[Answer | Drawn],
) -> tuple[dict[tuple[str, int], Answer], dict[tuple[str, int], list[Drawn]]]:
    """The answers by question (the first one if there are several), and the drawn samples of the
    questions without an answer.
    """
    answers: dict[tuple[str, int], Answer] = {}
    drawn: dict[tuple[str, int], list[Drawn]] = {}
    for record in records:
        key = (record.id, record.index)
        if isinstance(record, Answer):
            answers.setdefault(key, record)
            drawn.pop(key, None)
        elif key not in answers:
            drawn.setdefault(key, []).append(record)
    return answers, drawn
