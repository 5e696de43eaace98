"""Writes files atomically, and reads the records in them."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, TypeVar

from pydantic import BaseModel, ValidationError

from contract import Sentence
from contract.published import sync
from orchestrator.errors import JobDamagedError

Record = TypeVar("Record", bound=BaseModel)


def write_atomically(path: Path, data: bytes) -> None:
    """Write beside `path`, fsync, and rename over it."""
    with replacing(path) as file:
        file.write(data)


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Yield a file to write in pieces. If the body succeeds, it is fsynced and renamed to
    `path`.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    sync(path.parent)


def write_once(path: Path, data: bytes) -> None:
    """Write the file, unless another process has written it before."""
    own = path.with_name(f".{path.name}.{os.getpid()}")
    own.write_bytes(data)
    sync(own)
    with suppress(FileExistsError):
        os.link(own, path)
    own.unlink()
    sync(path.parent)


def read_record(path: Path, kind: type[Record]) -> Record | None:
    """The record in a file; None if there is no file.

    Raises:
        JobDamagedError: the record cannot be read.
    """
    try:
        return kind.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        first = error.errors()[0]
        reason = Sentence(
            "file-damaged",
            "is damaged, or of another version ({place}: {reason})",
            place=".".join(map(str, first["loc"])) or Sentence("as-a-whole", "as a whole"),
            reason=first["msg"],
        )
        raise JobDamagedError(path, reason) from error
    except OSError as error:
        reason = Sentence("file-unreadable", "cannot be read ({error})", error=str(error.strerror))
        raise JobDamagedError(path, reason) from error
