"""A shard's journal: answers appended one line each, on disk within a second.

A line counts once its newline is written. A power cut can leave a last line without one: readers
pass over it, and the next writer cuts it off.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from orchestrator.records import Answer

SYNC_EVERY_S = 0.5


class Journal:
    """An open journal. Not for several writers: a shard's lease sees to that."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._unsynced = False

    def append(self, answer: Answer) -> None:
        line = answer.model_dump_json().encode() + b"\n"
        while line:
            line = line[os.write(self._descriptor, line) :]
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
async def open_journal(path: Path) -> AsyncIterator[Journal]:
    """Open for appending behind the last whole line; synced twice a second and at the end."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        os.ftruncate(descriptor, _whole_bytes(descriptor))
        journal = Journal(descriptor)
        syncing = asyncio.create_task(journal.sync_now_and_then())
        try:
            yield journal
        finally:
            syncing.cancel()
            journal.sync()
    finally:
        os.close(descriptor)


def _whole_bytes(descriptor: int) -> int:
    """Length of the file up to and with its last newline."""
    return os.pread(descriptor, os.fstat(descriptor).st_size, 0).rfind(b"\n") + 1


def read_journal(path: Path, offset: int = 0) -> tuple[list[Answer], int]:
    """The answers from byte `offset` on, and the offset behind the last whole line."""
    try:
        with path.open("rb") as file:
            file.seek(offset)
            data = file.read()
    except FileNotFoundError:
        return [], offset
    whole = data[: data.rfind(b"\n") + 1]
    return [Answer.model_validate_json(line) for line in whole.splitlines()], offset + len(whole)
