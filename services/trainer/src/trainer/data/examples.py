"""Training rows from labelled files: the competition's JSONL, and an.json / ana.json in instruction
form.

An instruction row already holds a prompt. The prompt is taken apart into problem, question and
options, so that the row is trained under the same contract as all others and is not wrapped in a
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
    Sentence,
    StrictJsonError,
    extract_label,
    parse_problems,
    read_json,
)
from trainer.data.analyses import analysis_in
from trainer.data.prompt_parts import own_form, take_apart
from trainer.errors import TrainerError
from trainer.recipe import DataFile

_BARE_LABEL = re.compile(r"\s*([A-Z])\s*[.．。]?\s*")

UNREADABLE = Sentence(
    "analysis-hides-answer",
    "no answer can be read after its analysis (is a reasoning tag not closed?)",
)
_NO_ANSWER = Sentence("no-answer-given", "no answer given")
_SEVERAL_RIGHT = Sentence(
    "several-right", "several right answers; training teaches a reply with one"
)
_NO_INSTRUCTION = Sentence("no-instruction", "no instruction and output")
_NO_PARTS = Sentence("no-problem-found", "no problem and question found in the instruction")
_NO_OPTIONS = Sentence("no-options-found", "no options found in the instruction")
_NO_OPTION_NAMED = Sentence("output-names-no-option", "the output names none of the options")


@dataclass(frozen=True)
class Example:
    """One labelled question. `source`: its place, as file name and problem or row. `weight`: how
    often it is drawn an epoch.
    """

    problem: Problem
    question: Question
    label: str
    source: str
    weight: float = 1.0

    @property
    def subject(self) -> str:
        """The text by which the data are split and duplicates are found: the problem's, or the
        question and its options, in any order, if the problem has none.
        """
        options = sorted(self.question.options)
        return self.problem.text or "\n".join((self.question.text, *options))


@dataclass(frozen=True)
class Examples:
    """`recognized` counts rows by their form, `dropped` by the reason for leaving them out."""

    rows: list[Example]
    recognized: Counter[str]
    dropped: Counter[str]
    sha256: str


def load_examples(files: Sequence[DataFile], fmt: PromptFormat) -> Examples:
    """All labelled questions of `files`, in order, and a count of the rows left out, by reason.

    Raises:
        TrainerError: a file is missing or unreadable, no question of any file has a label, or the
            format cannot read its own answer line.
    """
    if not fmt.is_read:
        raise TrainerError(
            f"format.label_patterns cannot read format.answer_line = {fmt.answer_line!r}: leave "
            "label_patterns out, or add a pattern that reads it"
        )
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
        kept = _readable(found, fmt, left_out)
        rows += [replace(example, weight=data_file.weight) for example in kept]
        recognized += Counter({f"{path.name}: {form}": n for form, n in forms.items()})
        dropped += left_out
    if not rows:
        reasons = "; ".join(f"{count} x {reason}" for reason, count in dropped.items())
        names = ", ".join(data_file.file for data_file in files)
        raise TrainerError(f'no question in {names} has a label ({reasons}): give each an "answer"')
    return Examples(rows, recognized, dropped, digest.hexdigest())


def _patterns(fmt: PromptFormat) -> tuple[str, ...]:
    """The patterns that read labels in training files: the recipe's and the default ones."""
    return tuple(dict.fromkeys((*fmt.label_patterns, *PromptFormat().label_patterns)))


def _readable(examples: list[Example], fmt: PromptFormat, dropped: Counter[str]) -> list[Example]:
    """The examples whose label would be read from their trained reply, had a model written it."""
    kept = []
    for example in examples:
        line = fmt.answer_line.replace("{label}", example.label)
        analysis = example.question.analysis if fmt.style != "answer" else None
        reply = f"{analysis or ''}\n{line}"
        if extract_label(reply, example.question.options, fmt.label_patterns) == example.label:
            kept.append(example)
        else:
            dropped[UNREADABLE] += 1
    return kept


_Read = tuple[list[Example], Counter[str], Counter[str]]


def _read_problems(data: bytes, path: Path, fmt: PromptFormat) -> _Read:
    try:
        problems = parse_problems(data)
    except ProblemFileError as error:
        raise TrainerError(f"{path}: {error}") from error
    rows, dropped = [], Counter[str]()
    for problem in problems:
        for index, question in enumerate(problem.questions):
            if question.answer is None:
                dropped[_NO_ANSWER] += 1
            elif len(question.answer) > 1:
                dropped[_SEVERAL_RIGHT] += 1
            else:
                source = Sentence(
                    "from-problem-file",
                    "{file}, {problem}, question {number}",
                    file=path.name,
                    problem=problem.id,
                    number=index + 1,
                )
                example = Example(problem, question, question.answer, source)
                rows.append(_without_answer_line(example, _patterns(fmt)))
    worked = sum(1 for row in rows if row.question.analysis)
    forms = Counter({"problem file with analyses": worked, "problem file": len(rows) - worked})
    return rows, +forms, dropped


def _without_answer_line(example: Example, patterns: Sequence[str]) -> Example:
    """`example` without an answer line in its analysis; the format's own line takes its place."""
    question, problem = example.question, example.problem
    if not question.analysis:
        return example
    analysis = analysis_in(question.analysis, example.label, question.options, patterns)
    if analysis is None:
        return example
    cut = replace(question, analysis=analysis)
    questions = tuple(cut if one is question else one for one in problem.questions)
    return replace(example, question=cut, problem=replace(problem, questions=questions))


def _read_instructions(data: bytes, path: Path, fmt: PromptFormat) -> _Read:
    try:
        entries = read_json(data.removeprefix(b"\xef\xbb\xbf"))
    except StrictJsonError as error:
        raise TrainerError(f"{path}: {error}") from error
    if not isinstance(entries, list):
        raise TrainerError(
            f"{path} must be a list of rows with instruction and output; if it is JSONL, name it "
            ".jsonl"
        )
    own = own_form(fmt)
    rows, forms, dropped = [], Counter[str](), Counter[str]()
    for number, entry in enumerate(entries, start=1):
        source = Sentence(
            "from-instruction-file", "{file}, row {number}", file=path.name, number=number
        )
        example, form = _from_instruction(entry, source, own, _patterns(fmt))
        if example:
            rows.append(example)
            forms[form] += 1
        else:
            dropped[form] += 1
    return rows, forms, dropped


def _from_instruction(
    entry: Any, source: Sentence, own: re.Pattern[str], patterns: Sequence[str]
) -> tuple[Example | None, str]:
    """The example in an instruction row, and the row's form; or None, and why there is no example.

    The row's own prompt is dropped: the contract's takes its place.
    """
    entry = entry if isinstance(entry, dict) else {}
    instruction, output, more = entry.get("instruction"), entry.get("output"), entry.get("input")
    if not (
        isinstance(instruction, str) and isinstance(output, str) and isinstance(more, str | None)
    ):
        return None, _NO_INSTRUCTION
    parts = take_apart(f"{instruction.rstrip()}\n{more or ''}".rstrip(), own)
    if parts is None:
        return None, _NO_PARTS
    if not parts.question or not parts.options:
        return None, _NO_OPTIONS
    bare = _BARE_LABEL.fullmatch(output)
    label = bare[1] if bare else extract_label(output, parts.options, patterns)
    if label is None or label not in LABELS[: len(parts.options)]:
        return None, _NO_OPTION_NAMED
    analysis = analysis_in(output, label, parts.options, patterns)
    question = Question(parts.question, parts.options, label, analysis)
    problem = Problem(source, parts.problem, (question,), {})
    return Example(problem, question, label, source), parts.form
