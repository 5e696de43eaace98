"""Published models on a volume: `<name>/<digest>/` with a contract, and a link `<name>/current`.

A reader that follows `current` finds a complete model or none.
"""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel

from contract.contract import CONTRACT_FILE, Contract, ContractError
from contract.probe import Message
from contract.sentences import CodedMessage

log = logging.getLogger("quorum")

CURRENT = "current"
# A published model has these files besides the contract, the weights and the tokenizer.
METRICS_FILE = "metrics.jsonl"
DATA_FILE, DATA_PICTURE = "data.json", "data.png"
VERIFICATION_FILE = "verification.json"
CARD_FILE = "README.md"


class RecordedReply(BaseModel):
    """A greedy reply that the trainer recorded: an entry of `replies` in verification.json.

    `key` is the row's own answer, `label` the option that the reply names. `ended` is True if the
    reply ended within the token limit. Older models have no `messages` and no `source_message`.
    """

    source: str
    source_message: CodedMessage | None = None
    messages: tuple[Message, ...] = ()
    key: str | None = None
    label: str | None = None
    ended: bool = True
    text: str


class _Verification(BaseModel):
    replies: tuple[RecordedReply, ...] = ()


def recorded_replies(model: Path) -> list[RecordedReply]:
    """A published model's recorded replies that have their messages, so that they can be asked
    again.

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
    """All published models, sorted by name, the newest of each name first.

    A model whose contract cannot be read is skipped and logged.
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
    """Point `current` at `target`, atomically: a new link is made and renamed over the old one."""
    link = target.parent / f".{CURRENT}-{os.getpid()}"
    link.unlink(missing_ok=True)
    link.symlink_to(target.name)
    link.replace(target.parent / CURRENT)
    sync(target.parent)


def sync(path: Path) -> None:
    """Flush a file, or a folder's list of names, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
