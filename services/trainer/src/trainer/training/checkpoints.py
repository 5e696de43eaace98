"""Checkpoints that a kill cannot spoil.

A checkpoint is a folder, `step-00000120`, made under another name, synced and renamed; a manifest
holds each file's SHA-256. A checkpoint that a kill cut short never gets such a name. One that was
damaged later does not match its manifest, and the one before it is loaded.
"""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import torch

from contract.published import sync
from trainer.errors import TrainerError

log = logging.getLogger("trainer")

KEPT = 2
BEST = "best"
_MANIFEST = "manifest.json"
_STATE = "state.pt"


class Checkpoint(NamedTuple):
    step: int
    state: dict[str, Any]


def save(folder: Path, name: str, state: dict[str, Any]) -> None:
    """Write `state` as the checkpoint `name`, whole or not at all.

    Raises:
        TrainerError: it could not be written, most likely for lack of room; earlier ones stay.
    """
    staged = folder / f".new-{name}"
    shutil.rmtree(staged, ignore_errors=True)
    try:
        staged.mkdir(parents=True)
        torch.save(state, staged / _STATE)
        sync(staged / _STATE)
        manifest = {_STATE: _sha256(staged / _STATE)}
        (staged / _MANIFEST).write_text(json.dumps(manifest, allow_nan=False))
        sync(staged / _MANIFEST)
        sync(staged)
        shutil.rmtree(folder / name, ignore_errors=True)
        staged.rename(folder / name)
        sync(folder)
    except (OSError, RuntimeError) as error:  # torch wraps a failing write in RuntimeError
        shutil.rmtree(staged, ignore_errors=True)
        free = shutil.disk_usage(folder).free / 2**30 if folder.exists() else 0.0
        kept = ", ".join(path.name for path in _by_age(folder)) or "none yet"
        raise TrainerError(
            f"cannot save a checkpoint in {folder}: {error}. {free:.1f} GiB are free there: make "
            f"room (trainer prune removes old models) and run again. Checkpoints kept: {kept}."
        ) from error


def save_step(folder: Path, step: int, state: dict[str, Any]) -> None:
    save(folder, f"step-{step:08d}", state)
    for path in _by_age(folder)[:-KEPT]:
        shutil.rmtree(path)


def last_name(folder: Path) -> str | None:
    """The name of the newest checkpoint; None if there is none."""
    return max((path.name for path in _by_age(folder)), default=None)


def load_last(folder: Path) -> Checkpoint | None:
    """The newest undamaged checkpoint, or None."""
    for path in reversed(_by_age(folder)):
        state = load(path)
        if state is not None:
            return Checkpoint(int(path.name.removeprefix("step-")), state)
    return None


def load(path: Path) -> dict[str, Any] | None:
    """The state saved in `path`; None, and a warning, if it is missing or damaged."""
    try:
        manifest = json.loads((path / _MANIFEST).read_text())
        damaged = [name for name, digest in manifest.items() if _sha256(path / name) != digest]
        if not damaged:
            state: dict[str, Any] = torch.load(path / _STATE, map_location="cpu", weights_only=True)
            return state
        why = f"{', '.join(damaged)} changed after it was saved"
    except FileNotFoundError as error:
        why = f"{error.filename} is missing"
    except (OSError, ValueError) as error:
        why = str(error)
    log.warning("the checkpoint %s is skipped: %s", path, why)
    return None


def _by_age(folder: Path) -> list[Path]:
    return sorted(folder.glob("step-*"))


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
