"""A problem: a text with questions, each with options and perhaps a key. Also the checks of one
row. `contract.files` reads the files that hold rows.

    {"id": "...", "problem": "...", "questions": [{"question": "...", "options": ["...", ...],
    "answer": "B"}]}

`answer` is optional. A missing `id` becomes the line number. Other keys are kept.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from contract.options import LABELS, own_texts

# Far more than a model could be asked; a larger row is a mistake or an attack.
MAX_QUESTIONS = 1000
MAX_CHARS = 200_000


@dataclass(frozen=True)
class Question:
    text: str
    options: tuple[str, ...]
    answer: str | None = None
    analysis: str | None = None

    @property
    def labels(self) -> str:
        return LABELS[: len(self.options)]


@dataclass(frozen=True)
class Problem:
    """One row. `row` is the JSON object as posted, with `id` set.

    `line` counts from 1; `offset` is the line's start in the file, in bytes.
    """

    id: str
    text: str
    questions: tuple[Question, ...]
    row: dict[str, Any]
    line: int = 0
    offset: int = 0


class FileFault(NamedTuple):
    """A fault in a problem file.

    `line` counts from 1; `place` is the path inside that line's row, "" for the row itself.
    """

    line: int
    place: str
    reason: str

    def __str__(self) -> str:
        return f"line {self.line}{', ' + self.place if self.place else ''}: {self.reason}"


class ProblemFileError(ValueError):
    """A problem file that cannot be accepted.

    `faults` holds the first faults, `total` is the number of all.
    """

    def __init__(self, faults: list[FileFault], total: int) -> None:
        more = f" (and {total - 1} more)" if total > 1 else ""
        super().__init__(f"{faults[0]}{more}")
        self.faults = faults
        self.total = total


def problem_of(row: dict[str, Any], line: int, offset: int) -> Problem | list[FileFault]:
    """The problem in a row, or the row's faults."""
    faults = [FileFault(line, place, reason) for place, reason in _row_faults(row)]
    if faults:
        return faults
    row.setdefault("id", str(line))
    questions = tuple(
        Question(q["question"], own_texts(q["options"]), q.get("answer"), q.get("analysis"))
        for q in row["questions"]
    )
    return Problem(str(row["id"]), row["problem"], questions, row, line, offset)


def _row_faults(row: dict[str, Any]) -> Iterator[tuple[str, str]]:
    if "id" in row and not (
        isinstance(row["id"], str | int) and not isinstance(row["id"], bool) and row["id"] != ""
    ):
        yield "id", f"must be a non-empty string or a whole number, is {kind_of(row['id'])}"
    yield from _text_faults(row, "problem", "")
    questions = row.get("questions")
    if not isinstance(questions, list) or not questions:
        yield "questions", _must_be("a list with at least one question", row, "questions")
        return
    if len(questions) > MAX_QUESTIONS:
        yield "questions", f"must be at most {MAX_QUESTIONS}, are {len(questions)}; split the row"
        return
    for index, question in enumerate(questions):
        yield from _question_faults(question, f"questions[{index}]")


def _question_faults(question: Any, place: str) -> Iterator[tuple[str, str]]:
    if not isinstance(question, dict):
        yield place, f"must be a JSON object, is {kind_of(question)}"
        return
    yield from _text_faults(question, "question", f"{place}.")
    options = question.get("options")
    if not isinstance(options, list) or not 1 <= len(options) <= len(LABELS):
        yield (
            f"{place}.options",
            _must_be(f"a list of 1 to {len(LABELS)} strings", question, "options"),
        )
        return
    for index, option in enumerate(options):
        if not isinstance(option, str):
            yield (
                f"{place}.options[{index}]",
                f"must be a string, is {kind_of(option)}; put it in quotes",
            )
        elif len(option) > MAX_CHARS:
            yield f"{place}.options[{index}]", _too_long(option)
    labels = list(LABELS[: len(options)])
    answer = question.get("answer")
    if answer is not None and answer not in labels:
        yield (
            f"{place}.answer",
            f"must be one of {', '.join(labels)} (or be left out), is {kind_of(answer)}",
        )
    if not isinstance(question.get("analysis", ""), str):
        yield f"{place}.analysis", f"must be a string, is {kind_of(question['analysis'])}"


def _text_faults(mapping: dict[str, Any], key: str, prefix: str) -> Iterator[tuple[str, str]]:
    value = mapping.get(key)
    if not isinstance(value, str) or not value.strip():
        yield f"{prefix}{key}", _must_be("a non-empty string", mapping, key)
    elif len(value) > MAX_CHARS:
        yield f"{prefix}{key}", _too_long(value)


def _too_long(text: str) -> str:
    return f"must have at most {MAX_CHARS} characters, has {len(text)}"


def _must_be(what: str, mapping: dict[str, Any], key: str) -> str:
    return (
        f"must be {what}, is {kind_of(mapping[key])}"
        if key in mapping
        else f"is missing; it must be {what}"
    )


def kind_of(value: Any) -> str:
    """A value's description for a message: containers by kind, scalars as written."""
    if isinstance(value, list):
        return f"a list of {len(value)}"
    if isinstance(value, dict):
        return "an object"
    text = json.dumps(value, allow_nan=False)
    return text if len(text) <= 40 else text[:37] + "..."
