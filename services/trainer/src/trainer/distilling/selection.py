"""Worked analyses from a teacher, kept where they reach the key.

Rejection sampling (RFT, Yuan et al. 2023): k replies a question, of which the right ones teach.
Questions that no reply got right can be asked again with the key as a hint (STaR, Zelikman et al.
2022, section 3.2).
"""

from __future__ import annotations

import logging
import re
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from contract import (
    PromptFormat,
    StrictJsonError,
    extract_label,
    read_json,
    split_reasoning,
    write_json,
)
from trainer.data.analyses import analysis_in
from trainer.data.examples import Example
from trainer.data.splitting import normalized
from trainer.digests import digest_of
from trainer.errors import TrainerError

log = logging.getLogger("trainer")

HINT = "\n\n（正确选项是 {label}。请从题目出发写出得到它的完整推理，不要提到你事先知道答案。）"
# a rationale that leans on the hint teaches nothing
_MENTIONS_HINT = re.compile(
    r"提示|事先|已知答案|给出的(?:正确)?(?:答案|选项)|\bhint", re.IGNORECASE
)
_NGRAM = 3  # characters


@dataclass(frozen=True)
class Teacher:
    """What is asked, and how. `seed` + i is the seed of a question's sample i."""

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


@dataclass
class Yield:
    """What became of one question's samples; `failed` has the teacher's words where it failed."""

    source: str
    label: str
    asked: int = 0
    right: int = 0
    hinted: int = 0
    hinted_right: int = 0
    kept: int = 0
    failed: str = ""


class Journal:
    """Every sample drawn, a JSON line each behind a line of settings; what is there is not drawn
    again.
    """

    def __init__(self, path: Path, teacher: Teacher, fmt: PromptFormat) -> None:
        """Open the journal at `path`, new or as a stopped run left it.

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
                f"({lines[0].decode(errors='replace')}): name another --out, or remove it"
            )
        self.drawn = [drawn for line in lines[1:] if (drawn := self._drawn(line, path))]
        path.write_bytes(whole + b"\n" if whole else write_json(header).encode() + b"\n")
        self._file = path.open("a", encoding="utf-8", buffering=1)

    @staticmethod
    def _drawn(line: bytes, path: Path) -> Drawn | None:
        found = _read(line)
        if not isinstance(found, dict) or {*found} != {*Drawn.__dataclass_fields__}:
            log.warning("%s: passed over a damaged line; its sample is drawn again", path)
            return None
        return Drawn(**found)

    def add(self, drawn: Drawn) -> None:
        self._file.write(write_json(asdict(drawn)) + "\n")
        self.drawn.append(drawn)

    def close(self) -> None:
        self._file.close()


def question_key(example: Example) -> str:
    """What a question's samples are found by again, wherever it stands in whichever file."""
    question = example.question
    return digest_of(example.problem.text, question.text, *question.options, example.label)[:16]


def wanted(
    examples: Sequence[Example], drawn: Sequence[Drawn], samples: int, *, hinted: bool
) -> list[Wanted]:
    """The samples that are still to be drawn of `examples`."""
    there = {(one.key, one.sample, one.hinted) for one in drawn}
    keys = dict.fromkeys(question_key(example) for example in examples)
    every = [Wanted(key, sample, hinted) for key in keys for sample in range(samples)]
    return [one for one in every if tuple(one) not in there]


def analysis_of(drawn: Drawn, example: Example, fmt: PromptFormat) -> str | None:
    """The analysis that a sample teaches, without its answer line; None where it is wrong, was cut
    off, has no steps, or leans on the hint.
    """
    _, text = split_reasoning(drawn.text)
    if text is None or drawn.finish_reason != "stop":
        return None
    options, patterns = example.question.options, fmt.label_patterns
    if extract_label(text, options, patterns) != example.label:
        return None
    analysis = analysis_in(text.strip(), example.label, options, patterns)
    if analysis and drawn.hinted and _MENTIONS_HINT.search(analysis):
        return None
    return analysis


def most_different(analyses: Sequence[str], count: int) -> list[int]:
    """Places of up to `count` of `analyses`, each as far as can be from those taken before it, none
    twice (farthest-first traversal, Gonzalez 1985). The first is the most typical.

    Distance is 1 - Jaccard similarity over three-character shingles.
    """
    shingles = [_shingles(analysis) for analysis in analyses]
    distance = [[_apart(a, b) for b in shingles] for a in shingles]
    if not analyses or count < 1:
        return []
    chosen = [min(range(len(analyses)), key=lambda i: sum(distance[i]))]
    while len(chosen) < count:
        nearest = [min(distance[i][j] for j in chosen) for i in range(len(analyses))]
        farthest = max(range(len(analyses)), key=nearest.__getitem__)
        if nearest[farthest] == 0:
            break
        chosen.append(farthest)
    return chosen


def select(
    examples: Sequence[Example], drawn: Sequence[Drawn], fmt: PromptFormat, keep: int
) -> tuple[list[Example], list[Yield]]:
    """The examples with their analyses, up to `keep` a question, and every question's yield."""
    by_key: dict[str, list[Drawn]] = {}
    for one in drawn:
        by_key.setdefault(one.key, []).append(one)
    taught, yields = [], []
    for example in {question_key(example): example for example in examples}.values():
        samples = sorted(by_key.get(question_key(example), []), key=lambda d: (d.hinted, d.sample))
        found = Yield(example.source, example.label)
        right: list[str] = []
        for one in samples:
            analysis = analysis_of(one, example, fmt)
            found.hinted += one.hinted
            found.asked += not one.hinted
            found.hinted_right += one.hinted and analysis is not None
            found.right += not one.hinted and analysis is not None
            if analysis:
                right.append(analysis)
        for number, place in enumerate(most_different(right, keep), start=1):
            question = replace(example.question, analysis=right[place])
            source = f"{example.source}, analysis {number}"
            taught.append(replace(example, question=question, source=source))
            found.kept += 1
        yields.append(found)
    return taught, yields


def never_right(
    examples: Sequence[Example], yields: Sequence[Yield], failed: Collection[str]
) -> list[Example]:
    """Those of `examples` that no sample got right, but for the keys in `failed`."""
    missed = {found.source for found in yields if not found.right}
    examples = [example for example in examples if question_key(example) not in failed]
    return [example for example in examples if example.source in missed]


def missed_in(examples: Sequence[Example], answers: Sequence[dict[str, Any]]) -> list[Example]:
    """Those of `examples` whose answer in a job is not their key.

    Raises:
        TrainerError: the job answered none of them.
    """
    answered = {(str(a["id"]), int(a["index"])): a["answer"] for a in answers}
    places = [
        (e.problem.id, next(i for i, q in enumerate(e.problem.questions) if q is e.question))
        for e in examples
    ]
    if not any(place in answered for place in places):
        raise TrainerError(
            "the job answered no question of these files: give the labelled form of the file that "
            "was posted, with the same ids"
        )
    return [
        example
        for example, place in zip(examples, places, strict=True)
        if place in answered and answered[place] != example.label
    ]


def _read(line: bytes) -> Any:
    try:
        return read_json(line)
    except StrictJsonError:
        return None


def _shingles(text: str) -> frozenset[str]:
    bare = normalized(text)
    return frozenset(bare[i : i + _NGRAM] for i in range(max(1, len(bare) - _NGRAM + 1)))


def _apart(one: frozenset[str], other: frozenset[str]) -> float:
    return 1 - len(one & other) / len(one | other)
