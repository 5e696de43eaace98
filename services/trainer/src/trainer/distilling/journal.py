"""The samples that a teacher is asked for, and the journal of those that came."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from contract import PromptFormat, StrictJsonError, read_json, write_json
from trainer.data.examples import Example
from trainer.digests import digest_of
from trainer.errors import TrainerError

log = logging.getLogger("trainer")


@dataclass(frozen=True)
class Teacher:
    """A teacher's address and the settings of its requests; sample i has the seed `seed` + i."""

    url: str
    model: str
    api_key: str
    samples: int
    temperature: float
    max_tokens: int
    seed: int
    concurrency: int
    timeout_s: float


class Wanted(NamedTuple):
    """One sample that is still to be drawn."""

    key: str
    sample: int
    hinted: bool


@dataclass(frozen=True)
class Drawn:
    """One sample as the journal holds it."""

    key: str
    sample: int
    hinted: bool
    text: str
    finish_reason: str


class Journal:
    """A file with a line of settings, and then a JSON line for each sample. Samples in the journal
    are not drawn again.
    """

    def __init__(self, path: Path, teacher: Teacher, fmt: PromptFormat) -> None:
        """Open the journal at `path`; it may be new, or left by a run that was stopped.

        Raises:
            TrainerError: it was written with other settings.
        """
        same = ("model", "temperature", "max_tokens", "seed")
        asked = {name: value for name, value in asdict(teacher).items() if name in same}
        header = asked | {"format": digest_of(fmt.model_dump_json())}
        whole = path.read_bytes().rpartition(b"\n")[0] if path.is_file() else b""
        lines = whole.splitlines()
        if lines and _read(lines[0]) != header:
            raise TrainerError(
                f"{path} was written with other settings "
                f"({lines[0].decode(errors='replace')}): give another --out, or remove this file"
            )
        self.drawn = [drawn for line in lines[1:] if (drawn := self._drawn(line, path))]
        path.write_bytes(whole + b"\n" if whole else write_json(header).encode() + b"\n")
        self._file = path.open("a", encoding="utf-8", buffering=1)

    @staticmethod
    def _drawn(line: bytes, path: Path) -> Drawn | None:
        found = _read(line)
        if not isinstance(found, dict) or {*found} != {*Drawn.__dataclass_fields__}:
            log.warning("%s has a damaged line; its sample is drawn again", path)
            return None
        return Drawn(**found)

    def add(self, drawn: Drawn) -> None:
        self._file.write(write_json(asdict(drawn)) + "\n")
        self.drawn.append(drawn)

    def close(self) -> None:
        self._file.close()


def question_key(example: Example) -> str:
    """Identifies a question in the journal, whichever file it comes from."""
    question = example.question
    return digest_of(example.problem.text, question.text, *question.options, example.label)[:16]


def wanted(
    examples: Sequence[Example], drawn: Sequence[Drawn], samples: int, *, hinted: bool
) -> list[Wanted]:
    """The samples of `examples` that are not in `drawn` yet."""
    there = {(one.key, one.sample, one.hinted) for one in drawn}
    keys = dict.fromkeys(question_key(example) for example in examples)
    every = [Wanted(key, sample, hinted) for key in keys for sample in range(samples)]
    return [one for one in every if tuple(one) not in there]


def _read(line: bytes) -> Any:
    try:
        return read_json(line)
    except StrictJsonError:
        return None
