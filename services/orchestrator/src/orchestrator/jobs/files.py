"""Writes files atomically, and reads the records in them."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from contract import Sentence
from contract.published import sync
from contract.replacing import replacing
from orchestrator.errors import JobDamagedError

Record = TypeVar("Record", bound=BaseModel)


def write_atomically(path: Path, data: bytes) -> None:
    """Write beside `path`, fsync, and rename over it."""
    with replacing(path) as file:
        file.write(data)


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
