"""Labelled questions from training files: problems with their keys, in any shape that is answered,
and chats (instruction rows, ShareGPT, messages).
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from contract import Problem, PromptFormat, Question, Sentence, extract_label
from contract.files.shapes import Record, RowFaultsError
from trainer.data.analyses import analysis_in
from trainer.data.chat_rows import SEVERAL_RIGHT, labelled
from trainer.data.prompt_parts import own_form
from trainer.data.reading import read_training_file
from trainer.errors import TrainerError
from trainer.recipe import DataFile

UNREADABLE = Sentence(
    "analysis-hides-answer",
    "no answer can be read after its analysis (is a reasoning tag not closed?)",
)
_NO_ANSWER = Sentence("no-answer-given", "no answer given")


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
            with path.open("rb") as file:
                content = hashlib.file_digest(file, "sha256").digest()
        except OSError as error:
            raise TrainerError(f"cannot read the training file {path}: {error.strerror}") from error
        digest.update(content + data_file.settings.encode())
        found, forms, left_out = _read(data_file, path, fmt)
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


_Found = tuple[list[Example], Counter[str], Counter[str]]


def _read(data_file: DataFile, path: Path, fmt: PromptFormat) -> _Found:
    """The file's examples, its rows by form, and the rows left out by reason."""
    read = read_training_file(path, data_file.reading)
    if read.chats:
        return _from_chats(read.chats, path, fmt)
    form = read.statement.removeprefix("read as ") or "problem file"
    return _from_problems(read.problems, form, path, fmt)


def _from_problems(problems: Sequence[Problem], form: str, path: Path, fmt: PromptFormat) -> _Found:
    rows, dropped = [], Counter[str]()
    for problem in problems:
        for index, question in enumerate(problem.questions):
            if question.answer is None:
                dropped[_NO_ANSWER] += 1
            elif len(question.answer) > 1:
                dropped[SEVERAL_RIGHT] += 1
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
    forms = Counter({f"{form}, with analyses": worked, form: len(rows) - worked})
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


def _from_chats(records: Sequence[Record], path: Path, fmt: PromptFormat) -> _Found:
    own, patterns = own_form(fmt), _patterns(fmt)
    rows, forms, dropped = [], Counter[str](), Counter[str]()
    for record in records:
        try:
            found = labelled(record.values, own, patterns)
        except RowFaultsError as error:
            dropped[error.faults[0][1]] += 1
            continue
        source = Sentence(
            "from-instruction-file", "{file}, row {number}", file=path.name, number=record.number
        )
        problem = Problem(source, found.problem, (found.question,), {})
        rows.append(Example(problem, found.question, found.label, source))
        forms[found.form] += 1
    return rows, forms, dropped
