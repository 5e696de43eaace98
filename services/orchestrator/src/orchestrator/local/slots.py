"""Who runs local mode in a state folder: one process for the service and one for the trainer.

Each holds a lock that the kernel frees however the process ends, so a dead one is never in the way.
Beside the lock lies a record of what runs, for `quorum local status` and `down`.
"""

from __future__ import annotations

import fcntl
import os
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ValidationError

from contract import Stack

Name = Literal["service", "trainer"]
NAMES: tuple[Name, ...] = ("service", "trainer")
STARTING, STOPPING = "starting", "stopping"
_FLOCK = "hhqqi0q"  # struct flock on 64-bit Linux: type, whence, start, length, process


class Process(BaseModel):
    """A child of the supervisor. Times are those of time.time()."""

    name: str
    pid: int
    since: float
    restarts: int
    log: Path


class Record(BaseModel):
    """What a supervisor runs, as it last wrote it.

    `doing`: the step that it is at. `ended`, `failure`: when and why it ended; a failure is empty
    if it was stopped. `failed_log`: the log of the step that failed. `page` and `server` are
    addresses; None for a trainer alone. `recipe` is None if an endpoint serves the model.
    """

    pid: int
    command: str
    since: float
    doing: str = STARTING
    stack: Stack
    why: str
    model: str
    recipe: Path | None = None
    state: Path
    models_dir: Path
    logs: Path
    page: str | None = None
    server: str | None = None
    processes: list[Process] = []
    ended: float | None = None
    failure: str = ""
    failed_log: Path | None = None

    @property
    def is_under_way(self) -> bool:
        return self.doing not in (STARTING, STOPPING) and self.ended is None


class TakenError(Exception):
    """Another process holds the slot."""

    def __init__(self, name: Name, pid: int, record: Record | None) -> None:
        since = "" if record is None else f", since {clock(record.since)}"
        page = f", page {record.page}" if record is not None and record.page else ""
        super().__init__(
            f"the {name} of this folder is already running (pid {pid}{since}{page}): quorum local "
            "status shows it, quorum local down ends it"
        )


class Slot:
    def __init__(self, state: Path, name: Name) -> None:
        self.name = name
        self._folder = state / "local"
        self._lock = self._folder / f"{name}.lock"
        self._record = self._folder / f"{name}.json"

    def holder(self) -> int | None:
        """The pid of the process that holds the lock."""
        try:
            descriptor = os.open(self._lock, os.O_RDONLY | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError):
            return None
        try:
            asked = struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
            kind, _, _, _, pid = struct.unpack(
                _FLOCK, fcntl.fcntl(descriptor, fcntl.F_GETLK, asked)
            )
            return None if kind == fcntl.F_UNLCK else pid
        finally:
            os.close(descriptor)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lock; the file must not be opened again meanwhile, which would free it.

        Raises:
            TakenError: another process holds it.
            OSError: the folder cannot be written, or its file system has no locks.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            try:
                fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except (BlockingIOError, PermissionError):
                raise TakenError(self.name, self.holder() or 0, self.read()) from None
            yield
        finally:
            os.close(descriptor)

    def read(self) -> Record | None:
        """The last record, also of a supervisor that has ended; None if there is none."""
        try:
            return Record.model_validate_json(self._record.read_bytes())
        except (FileNotFoundError, NotADirectoryError, ValidationError):
            return None

    def write(self, record: Record) -> None:
        draft = self._record.with_suffix(".new")
        draft.write_text(record.model_dump_json(indent=1))
        draft.replace(self._record)


def clock(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))
