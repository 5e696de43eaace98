"""Trainer and server take turns on one GPU: the server does not start while a trainer works.

A trainer holds a lock on a file of the models volume. The kernel frees the lock however the trainer
ends. The file says how the last trainer ended, which explains why nothing is published.
Readers only query the lock and never take it, so they do not mistake one another for a trainer.
"""

from __future__ import annotations

import fcntl
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pydantic import ValidationError

from contract.sentences import CodedMessage, Sentence, coded

LOCK_FILE = ".trainer"
AT_WORK = Sentence("trainer-at-work", "a trainer is at work")
NO_TRAINER = Sentence("no-trainer", "no trainer is at work")
_KILLED = Sentence("trainer-killed", "the trainer was killed")
LONGEST_REASON = 2000  # characters
_FLOCK = "hhqqi0q"  # struct flock on 64-bit Linux: type, whence, start, length, process


@contextmanager
def trainer_at_work(models_dir: Path) -> Iterator[None]:
    """Hold the lock, shared with other trainers. If an exception ends the block, its text is
    written to the file.
    """
    models_dir.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(models_dir / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        with suppress(OSError):  # a volume without locks: the server starts anyway
            fcntl.fcntl(descriptor, fcntl.F_OFD_SETLK, _whole_file(fcntl.F_RDLCK))
        _say(descriptor, _KILLED)  # true if the lock is freed before another text is written
        yield
    except BaseException as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        _say(
            descriptor,
            Sentence(
                "trainer-ended",
                "the trainer ended without a model: {reason}",
                reason=reason[:LONGEST_REASON],
            ),
        )
        raise
    else:
        _say(descriptor, None)
    finally:
        os.close(descriptor)


def what_trains(models_dir: Path) -> Sentence:
    """`AT_WORK`, or how the last trainer ended, in a few words. Works on a read-only volume."""
    try:
        descriptor = os.open(models_dir / LOCK_FILE, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return NO_TRAINER
    try:
        asked = fcntl.fcntl(descriptor, fcntl.F_OFD_GETLK, _whole_file(fcntl.F_WRLCK))
        if struct.unpack(_FLOCK, asked)[0] != fcntl.F_UNLCK:
            return AT_WORK
    except OSError:
        return NO_TRAINER  # a volume without locks
    else:
        return _said(descriptor)
    finally:
        os.close(descriptor)


def _said(descriptor: int) -> Sentence:
    try:
        text = os.pread(descriptor, os.fstat(descriptor).st_size, 0)
        return CodedMessage.model_validate_json(text).sentence()
    except ValidationError:  # nothing was written, or two trainers wrote at the same time
        return NO_TRAINER


def _whole_file(kind: int) -> bytes:
    return struct.pack(_FLOCK, kind, os.SEEK_SET, 0, 0, 0)


def _say(descriptor: int, sentence: Sentence | None) -> None:
    message = coded(sentence)
    os.ftruncate(descriptor, 0)
    if message is not None:
        os.pwrite(descriptor, message.model_dump_json().encode(), 0)
