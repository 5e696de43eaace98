"""Published models on a volume: `<name>/<digest>/` with a contract, and a link `<name>/current`.

A reader that follows `current` finds a whole model or none.
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import Path

from contract.contract import CONTRACT_FILE, Contract, ContractError

log = logging.getLogger("quorum")

CURRENT = "current"


@dataclass(frozen=True)
class Published:
    """A published model; `size_bytes` counts all of its files."""

    directory: Path
    contract: Contract
    current: bool
    size_bytes: int


def list_published(models_dir: Path) -> list[Published]:
    """Every published model, by name and then the newest first.

    One whose contract cannot be read is passed over, and that is logged.
    """
    found = []
    for path in models_dir.glob(f"*/*/{CONTRACT_FILE}"):
        directory = path.parent
        if directory.is_symlink():
            continue
        try:
            contract = Contract.load(directory)
        except (ContractError, OSError) as error:
            log.warning("passed over: %s", error)
            continue
        current = (directory.parent / CURRENT).resolve() == directory.resolve()
        size = sum(file.stat().st_size for file in directory.rglob("*") if file.is_file())
        found.append(Published(directory, contract, current, size))
    found.sort(key=lambda model: model.contract.provenance.created, reverse=True)
    return sorted(found, key=lambda model: model.contract.model)


def make_current(target: Path) -> None:
    """Point `current` at `target`, atomically: a link made beside it takes its place."""
    link = target.parent / f".{CURRENT}-{os.getpid()}"
    link.unlink(missing_ok=True)
    link.symlink_to(target.name)
    link.replace(target.parent / CURRENT)
    sync(target.parent)


def sync(path: Path) -> None:
    """Put a file, or a folder's list of names, on the disk itself."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
