"""Digests of texts and of a model's folder."""

from __future__ import annotations

import hashlib
from pathlib import Path

SHORT_CHARACTERS = 16


def digest_of(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()


def short_digest(*parts: str) -> str:
    """The digest that names a published model and its run."""
    return digest_of(*parts)[:SHORT_CHARACTERS]


def tree_sha256(directory: Path) -> str:
    """Digest of the names and contents of the files in `directory`, without hidden files and model
    cards, which do not change the model.
    """
    digest = hashlib.sha256()
    for path in sorted(directory.iterdir()):
        if path.is_file() and not path.name.startswith(".") and path.suffix != ".md":
            with path.open("rb") as file:
                digest.update(
                    path.name.encode() + b"\0" + hashlib.file_digest(file, "sha256").digest()
                )
    return digest.hexdigest()
