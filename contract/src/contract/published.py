"""Published models on a volume: `<name>/<digest>/` with a contract, and a link `<name>/current`.

A reader that follows `current` finds a whole model or none.
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel

from contract.contract import CONTRACT_FILE, Contract, ContractError, Message

log = logging.getLogger("quorum")

CURRENT = "current"
# Beside the contract, the weights and the tokenizer, a published model has these files.
METRICS_FILE = "metrics.jsonl"
DATA_FILE, DATA_PICTURE = "data.json", "data.png"
VERIFICATION_FILE = "verification.json"
CARD_FILE = "README.md"


class RecordedReply(BaseModel):
    """A greedy reply that the trainer recorded: an entry of `replies` in verification.json.

    `key` is the row's own answer, `label` what the reply names; `ended` says whether the reply came
    to its end within the token limit. Models of before `messages` were recorded have none.
    """

    source: str
    messages: tuple[Message, ...] = ()
    key: str | None = None
    label: str | None = None
    ended: bool = True
    text: str


class _Verification(BaseModel):
    replies: tuple[RecordedReply, ...] = ()


def recorded_replies(model: Path) -> list[RecordedReply]:
    """The recorded replies of a published model that can be asked again.

    Raises:
        ValueError: the file cannot be read.
    """
    path = model / VERIFICATION_FILE
    if not path.exists():
        return []
    found = _Verification.model_validate_json(path.read_bytes())
    return [reply for reply in found.replies if reply.messages]


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
