"""Checks the data volume: its free room, and whether it can be written."""

from __future__ import annotations

import secrets
import shutil
from pathlib import Path

from contract import Sentence
from contract.published import sync

FULL_BYTES = 32 << 20
PROBE_BYTES = 64 << 10


def room_fault(folder: Path) -> Sentence | None:
    """The reason why no new file should be written; None if there is room."""
    free = shutil.disk_usage(folder).free
    if free >= FULL_BYTES:
        return None
    return Sentence(
        "little-room",
        "{folder} has {left} MiB left; delete jobs or enlarge the volume",
        folder=str(folder),
        left=free >> 20,
    )


def volume_state(folder: Path) -> str:
    """The reason why results cannot be written, or "ok".

    The test file is not empty, because an empty file fits on a full volume too.
    """
    probe = folder / f".writable-{secrets.token_hex(4)}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            probe.write_bytes(b"\0" * PROBE_BYTES)
            sync(probe)
        finally:
            probe.unlink(missing_ok=True)
        return room_fault(folder) or "ok"
    except OSError as error:
        return Sentence(
            "volume-not-writable",
            "{folder} cannot be written: {error}",
            folder=str(folder),
            error=str(error.strerror),
        )
