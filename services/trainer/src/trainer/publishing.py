"""Publish in one step: a directory named by its digest, the contract last, then the link `current`.

A reader that follows `current` finds a whole model or none; an interrupted publication leaves a
`.new-*` directory that the next one removes.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

from contract import CONTRACT_FILE, Contract

CURRENT = "current"


def digest_of(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def tree_sha256(directory: Path) -> str:
    """Digest of every file's name and content.

    Hidden files and model cards count for nothing and are left out.
    """
    digest = hashlib.sha256()
    for path in sorted(directory.iterdir()):
        if path.is_file() and not path.name.startswith(".") and path.suffix != ".md":
            with path.open("rb") as file:
                digest.update(
                    path.name.encode() + b"\0" + hashlib.file_digest(file, "sha256").digest()
                )
    return digest.hexdigest()


def published(models_dir: Path, name: str, digest: str) -> bool:
    return (models_dir / name / digest / CONTRACT_FILE).is_file()


def staging_dir(models_dir: Path, name: str, digest: str) -> Path:
    """A fresh, empty directory on the models volume, to be filled and handed to `publish`."""
    directory = models_dir / name / f".new-{digest}"
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    return directory


def publish(staged: Path, contract: Contract) -> Path:
    """Move `staged` into place with its contract and point `current` at it."""
    for path in staged.iterdir():
        path.chmod(0o644)
        _sync(path)
    (staged / CONTRACT_FILE).write_bytes(contract.dump())
    _sync(staged / CONTRACT_FILE)
    _sync(staged)
    target = staged.parent / contract.digest
    shutil.rmtree(target, ignore_errors=True)  # without a contract it was never published
    staged.rename(target)
    make_current(target)
    return target


def make_current(target: Path) -> None:
    """Point `current` at `target`, atomically: a link made beside it takes its place."""
    link = target.parent / f".{CURRENT}-{os.getpid()}"
    link.unlink(missing_ok=True)
    link.symlink_to(target.name)
    link.replace(target.parent / CURRENT)
    _sync(target.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
