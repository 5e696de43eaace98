"""Training rows from labelled files: the competition's JSONL, and an.json / ana.json in instruction
form.

An instruction row already holds a prompt. It is taken apart into problem, question and options
again, so that it is trained under the same contract as everything else and never wrapped in a
second prompt.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from contract import (
    LABELS,
    Problem,
    ProblemFileError,
    PromptFormat,
    Question,
    StrictJsonError,
    extract_label,
    parse_problems,
    read_json,
)
from trainer.errors import TrainerError
from trainer.recipe import DataFile

_COMPETITION_FORM = re.compile(
    r"#+\s*题目\s*[:：]\s*\n(?P<problem>.*?)\n#+\s*问题\s*[:：]\s*\n(?P<question>.*)\Z", re.DOTALL
)
_OPTION = re.compile(r"^([A-Z])\s*[.．、:：]\s?(.*)$")
_PATTERNS = PromptFormat().label_patterns
_ANSWER_LINE = re.compile(_PATTERNS[0])
_BARE_LABEL = re.compile(r"\s*([A-Z])\s*[.．。]?\s*")


@dataclass(frozen=True)
class Example:
    """One labelled question. `source` says where it stands: file name and line, or row number.

    `weight` is how often it is drawn an epoch.
    """

    problem: Problem
    question: Question
    label: str
    source: str
    weight: float = 1.0


@dataclass(frozen=True)
class Examples:
    """`recognized` counts rows by the form that they were read in, `dropped` by the reason."""

    rows: list[Example]
    recognized: Counter[str]
    dropped: Counter[str]
    sha256: str


def load_examples(files: Sequence[DataFile], fmt: PromptFormat) -> Examples:
    """All labelled questions of `files`, in order, and what was left out and why.

    Raises:
        TrainerError: a file is missing or unreadable, or no question of any file has a label.
    """
    rows: list[Example] = []
    recognized: Counter[str] = Counter()
    dropped: Counter[str] = Counter()
    digest = hashlib.sha256()
    for data_file in files:
        path = Path(data_file.file)
        try:
            data = path.read_bytes()
        except OSError as error:
            raise TrainerError(f"cannot read the training file {path}: {error.strerror}") from error
        digest.update(hashlib.sha256(data).digest() + repr(data_file.weight).encode())
        read = _read_instructions if path.suffix == ".json" else _read_problems
        found, forms, left_out = read(data, path, fmt)
        rows += [replace(example, weight=data_file.weight) for example in found]
        recognized += Counter({f"{path.name}: {form}": n for form, n in forms.items()})
        dropped += left_out
    if not rows:
        reasons = "; ".join(f"{count} x {reason}" for reason, count in dropped.items())
        names = ", ".join(data_file.file for data_file in files)
        raise TrainerError(f'no labelled question in {names} ({reasons}): give each an "answer"')
    return Examples(rows, recognized, dropped, digest.hexdigest())


_Read = tuple[list[Example], Counter[str], Counter[str]]


def _read_problems(data: bytes, path: Path, _: PromptFormat) -> _Read:
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
    worked = sum(1 for row in rows if row.question.analysis)
    forms = Counter({"problem file with analyses": worked, "problem file": len(rows) - worked})
    return rows, +forms, dropped


def _read_instructions(data: bytes, path: Path, fmt: PromptFormat) -> _Read:
    try:
        entries = read_json(data.removeprefix(b"\xef\xbb\xbf"))
    except StrictJsonError as error:
        raise TrainerError(f"{path}: {error}") from error
    if not isinstance(entries, list):
        raise TrainerError(
            f"{path} must hold a list of rows with instruction and output; for JSONL name it .jsonl"
        )
    own = _own_form(fmt)
    rows, forms, dropped = [], Counter[str](), Counter[str]()
    for number, entry in enumerate(entries, start=1):
        example, form = _from_instruction(entry, f"{path.name}, row {number}", own)
        if example:
            rows.append(example)
            forms[form] += 1
        else:
            dropped[form] += 1
    return rows, forms, dropped


def _own_form(fmt: PromptFormat) -> re.Pattern[str]:
    """What finds problem, question and options in a prompt made from `fmt`'s own template."""
    template = re.escape(fmt.user_template)
    for part in ("problem", "question", "options"):
        template = template.replace(re.escape("{" + part + "}"), f"(?P<{part}>.+?)")
    return re.compile(template + r"\s*\Z", re.DOTALL)


def _from_instruction(
    entry: Any, source: str, own_form: re.Pattern[str]
) -> tuple[Example | None, str]:
    """The example that an instruction row holds and the form it was read in, or why it holds none.

    The prompt that the row was given is not kept: the contract's own takes its place.
    """
    if not (
        isinstance(entry, dict)
        and isinstance(entry.get("instruction"), str)
        and isinstance(entry.get("output"), str)
    ):
        return None, "no instruction and output"
    prompt = entry["instruction"].rstrip() + (entry.get("input") or "")
    if parts := _COMPETITION_FORM.search(prompt):
        form = "instruction, competition's template (### 题目, ### 问题) taken out"
        text, options = _split_options(parts["question"])
    elif parts := own_form.search(prompt):
        form = "instruction, this recipe's own template taken out"
        text, options = _split_options(parts["question"] + "\n" + parts["options"])
    else:
        return None, "no problem and question found in the instruction"
    if not text or not options:
        return None, "no options found in the instruction"
    output = entry["output"]
    bare = _BARE_LABEL.fullmatch(output)
    label = bare[1] if bare else extract_label(output, options, _PATTERNS)
    if label is None or label not in LABELS[: len(options)]:
        return None, "the output names none of the options"
    lines = [match.start() for match in _ANSWER_LINE.finditer(output)]
    analysis = output[: lines[-1]].rstrip() if lines else None
    question = Question(text, tuple(options), label, analysis or None)
    problem = Problem(source, parts["problem"].strip(), (question,), {})
    return Example(problem, question, label, source), form


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
