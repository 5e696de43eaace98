"""Training rows from labelled files: the competition's JSONL, and an.json / ana.json in instruction
form.

An instruction row already holds a prompt. It is taken apart into problem, question and options
again, so that it is trained under the same contract as everything else and never wrapped in a
second prompt.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from contract import (
    LABELS,
    Problem,
    ProblemFileError,
    PromptFormat,
    Question,
    extract_label,
    parse_problems,
)
from trainer.errors import TrainerError

_INSTRUCTION = re.compile(
    r"#+\s*题目\s*[:：]\s*\n(?P<problem>.*?)\n#+\s*问题\s*[:：]\s*\n(?P<question>.*)\Z", re.DOTALL
)
_OPTION = re.compile(r"^([A-Z])\s*[.．、:：]\s?(.*)$")
_PATTERNS = PromptFormat().label_patterns
_ANSWER_LINE = re.compile(_PATTERNS[0])


@dataclass(frozen=True)
class Example:
    """One labelled question. `source` says where it stands: file name and line, or row number."""

    problem: Problem
    question: Question
    label: str
    source: str


@dataclass(frozen=True)
class Examples:
    rows: list[Example]
    dropped: Counter[str]
    sha256: str


def load_examples(paths: tuple[str, ...]) -> Examples:
    """All labelled questions of `paths`, in order, and what was left out and why.

    Raises:
        TrainerError: a file is missing or unreadable, or no question of any file has a label.
    """
    rows: list[Example] = []
    dropped: Counter[str] = Counter()
    digest = hashlib.sha256()
    for path in map(Path, paths):
        try:
            data = path.read_bytes()
        except OSError as error:
            raise TrainerError(f"cannot read the training file {path}: {error.strerror}") from error
        digest.update(hashlib.sha256(data).digest())
        found, left_out = (
            _read_instructions(data, path) if path.suffix == ".json" else _read_problems(data, path)
        )
        rows += found
        dropped += left_out
    if not rows:
        reasons = "; ".join(f"{count} x {reason}" for reason, count in dropped.items())
        raise TrainerError(
            f'no labelled question in {", ".join(paths)} ({reasons}): give each an "answer"'
        )
    return Examples(rows, dropped, digest.hexdigest())


def _read_problems(data: bytes, path: Path) -> tuple[list[Example], Counter[str]]:
    try:
        problems = parse_problems(data)
    except ProblemFileError as error:
        raise TrainerError(f"{path}: {error}") from error
    rows, dropped = [], Counter[str]()
    for problem in problems:
        for index, question in enumerate(problem.questions):
            if question.answer is None:
                dropped["no answer given"] += 1
            else:
                source = f"{path.name}, {problem.id}, question {index + 1}"
                rows.append(Example(problem, question, question.answer, source))
    return rows, dropped


def _read_instructions(data: bytes, path: Path) -> tuple[list[Example], Counter[str]]:
    try:
        entries = json.loads(data)
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise TrainerError(f"{path} is not JSON: {error}") from error
    if not isinstance(entries, list):
        raise TrainerError(
            f"{path} must hold a list of rows with instruction and output; for JSONL name it .jsonl"
        )
    rows, dropped = [], Counter[str]()
    for number, entry in enumerate(entries, start=1):
        example = _from_instruction(entry, f"{path.name}, row {number}")
        if isinstance(example, Example):
            rows.append(example)
        else:
            dropped[example] += 1
    return rows, dropped


def _from_instruction(entry: Any, source: str) -> Example | str:
    """The example that an instruction row holds, or why it holds none."""
    if not (
        isinstance(entry, dict)
        and isinstance(entry.get("instruction"), str)
        and isinstance(entry.get("output"), str)
    ):
        return "no instruction and output"
    parts = _INSTRUCTION.search(entry["instruction"].rstrip() + (entry.get("input") or ""))
    if parts is None:
        return "no problem and question found in the instruction"
    text, options = _split_options(parts["question"])
    if not text or not options:
        return "no options found in the instruction"
    label = extract_label(entry["output"], options, _PATTERNS)
    if label is None:
        return "the output names none of the options"
    analysis = entry["output"][
        : [m.start() for m in _ANSWER_LINE.finditer(entry["output"])][-1]
    ].rstrip()
    question = Question(text, tuple(options), label, analysis or None)
    return Example(
        Problem(source, parts["problem"].strip(), (question,), {}), question, label, source
    )


def _split_options(text: str) -> tuple[str, list[str]]:
    """Split "question, then lines A. ...

    B. ..." into both; an option's text may go on over further lines.
    """
    lines = text.splitlines()
    starts = [i for i, line in enumerate(lines) if (m := _OPTION.match(line)) and m[1] == "A"]
    if not starts:
        return text.strip(), []
    options: list[str] = []
    for line in lines[starts[-1] :]:
        match = _OPTION.match(line)
        if match and len(options) < len(LABELS) and match[1] == LABELS[len(options)]:
            options.append(match[2])
        else:
            options[-1] += "\n" + line
    return "\n".join(lines[: starts[-1]]).strip(), [option.strip() for option in options]
