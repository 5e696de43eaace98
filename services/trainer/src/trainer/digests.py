"""Digests of texts and of a model's folder."""

from __future__ import annotations

import hashlib
from pathlib import Path


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
