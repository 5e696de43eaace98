"""Locks on a job's files (flock).

The kernel frees a lock the moment its holder dies. So on the holder's own host, a free lock is
proof that the holder is gone, and nobody has to wait until its lease runs out.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

POLL_S = 0.1
# A change of a small file takes moments.
SHORT_POLL_S = 0.005
# Some network file systems give these; NFS gives EBADF for a file that may only be read.
NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EBADF)
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


@cache
def host_id() -> str | None:
    """Names this boot of this host, also in its containers; None if the system does not tell."""
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return None


class NoLocksError(OSError):
    """The file system has no locks. The lease alone must do."""


class FileLock:
    """A lock on an open file. Closing the file frees it."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def take_now(self) -> bool:
        """Take the lock if it is free. Returns False if another process holds it.

        Raises:
            NoLocksError: the file system has no locks.
        """
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno in NO_LOCKS:
                raise NoLocksError(f"the data volume has no locks ({error.strerror})") from error
            raise
        return True

    def place(self) -> str | None:
        """Names the open file on this boot of this host; None if the system does not tell.

        Two mounts of a network file system may not share their locks: they are two places. So are
        two files that had one path one after the other.
        """
        found, host = os.fstat(self._descriptor), host_id()
        return f"{host}:{found.st_dev}:{found.st_ino}" if host else None

    async def take(self, patience_s: float) -> bool:
        """Take the lock, and wait up to `patience_s` for it. Returns False if it was not taken.

        Raises:
            NoLocksError: the file system has no locks.
        """
        give_up_at = time.monotonic() + patience_s
        while not self.take_now():
            if time.monotonic() >= give_up_at:
                return False
            await asyncio.sleep(POLL_S)
        return True


@contextmanager
def lockable(path: Path, *, make: bool = False) -> Iterator[FileLock]:
    """A lock on `path`, not taken yet. It is freed when the block ends. `make` makes a missing
    file. A file that may only be read can be locked too.
    """
    try:
        descriptor = os.open(path, os.O_RDWR | (os.O_CREAT if make else 0), 0o644)
    except PermissionError:
        if make:  # its holder writes into it
            raise
        descriptor = os.open(path, os.O_RDONLY)
    try:
        yield FileLock(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def held(path: Path, patience_s: float) -> Iterator[None]:
    """Hold a lock on `path` during the body, which takes moments. On a file system without locks
    the body runs without one.

    Raises:
        TimeoutError: another process held it for all of `patience_s`.
    """
    give_up_at = time.monotonic() + patience_s
    with lockable(path) as lock:
        with suppress(NoLocksError):
            while not lock.take_now():
                if time.monotonic() >= give_up_at:
                    raise TimeoutError(f"another process holds the lock on {path}; try again")
                time.sleep(SHORT_POLL_S)
        yield


def is_free(path: Path, place: str) -> bool:
    """True if `path` is the file at `place`, and no process has locked it. False if that cannot be
    known.
    """
    try:
        with lockable(path) as lock:
            return lock.place() == place and lock.take_now()
    except OSError:
        return False
