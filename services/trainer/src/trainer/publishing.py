"""Publish in one step: a directory named by its digest, the contract last, then the link `current`.

A reader that follows `current` finds a whole model or none; an interrupted publication leaves a
`.new-*` directory that the next one removes.
"""

from __future__ import annotations

import hashlib
import shutil
from collections import Counter
from pathlib import Path

from contract import CONTRACT_FILE, Contract
from contract.published import Published, list_published, make_current, sync
from trainer.errors import TrainerError


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
    for path in staged.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
        sync(path)
    (staged / CONTRACT_FILE).write_bytes(contract.dump())
    sync(staged / CONTRACT_FILE)
    sync(staged)
    target = staged.parent / contract.digest
    shutil.rmtree(target, ignore_errors=True)  # without a contract it was never published
    staged.rename(target)
    make_current(target)
    return target


def find_published(models_dir: Path, digest: str) -> Published:
    """The one model whose digest begins with `digest`.

    Raises:
        TrainerError: none does, or several do.
    """
    models = list_published(models_dir)
    found = [model for model in models if model.contract.digest.startswith(digest)]
    if len(found) != 1:
        there = ", ".join(f"{m.contract.model} {m.contract.digest}" for m in found or models)
        raise TrainerError(
            f"{len(found) or 'no'} published models have a digest that begins with {digest!r}; "
            f"{'they are' if found else 'published are'}: {there or 'none'}"
        )
    return found[0]


def prune(models_dir: Path, keep: int) -> list[Published]:
    """Remove all but the `keep` newest models of each name, never a current one; also what an
    interrupted publication left. Returns what was removed.
    """
    removed, kept = [], Counter[str]()
    for model in list_published(models_dir):
        kept[model.contract.model] += 1
        if kept[model.contract.model] > keep and not model.current:
            # without its contract it counts as published no longer, whatever stops the rest
            (model.directory / CONTRACT_FILE).unlink()
            shutil.rmtree(model.directory)
            removed.append(model)
    for leftover in models_dir.glob("*/.new-*"):
        shutil.rmtree(leftover)
    return removed
