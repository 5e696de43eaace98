"""A problem: a text with questions, each with options and perhaps a key. Also the checks of one
row. `contract.files` reads the files that hold rows.

    {"id": "...", "problem": "...", "questions": [{"question": "...", "options": ["...", ...],
    "answer": "B"}]}

`problem` may be left out, if the questions need no text; a text under another name is a fault.
`answer` is optional; it is a list of labels if several options are right. A missing `id` becomes
the line number. Other keys are kept.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any, Literal, NamedTuple

from contract.files.columns import PROBLEM, plain_name
from contract.options import LABELS, own_texts
from contract.sentences import Sentence

# Far more than a model could be asked; a larger row is a mistake or an attack.
MAX_QUESTIONS = 1000
MAX_CHARS = 200_000
_LONGEST_NAME = 80
_MISSPELT = 0.8  # of 1 for the same name; one letter wrong, or two in the wrong order, is 0.86
# What a value must be.
OBJECT = Sentence("wanted-object", "a JSON object")
_ID = Sentence("wanted-text-or-whole-number", "a non-empty string or a whole number")
_TEXT = Sentence("wanted-text", "a non-empty string")
_TEXT_OR_NO_KEY = Sentence("wanted-text-or-no-key", "a non-empty string (or be left out)")
_RENAME = Sentence(
    "text-elsewhere",
    "would be left out of the prompt: the text of the questions is in problem; rename this key to "
    "problem, or remove it",
)
_STRING = Sentence("wanted-string", "a string")
_QUESTIONS = Sentence("wanted-questions", "a list with at least one question")
_OPTIONS = Sentence("wanted-options", "a list of 1 to {most} strings", most=len(LABELS))


@dataclass(frozen=True)
class Question:
    """`answer` is the right label. If several are right, it holds them all in order: "AC"."""

    text: str
    options: tuple[str, ...]
    answer: str | None = None
    analysis: str | None = None

    @property
    def labels(self) -> str:
        return LABELS[: len(self.options)]


@dataclass(frozen=True)
class Problem:
    """One row. `row` is the JSON object as posted, with `id` set. `text` is "" if there is none.

    `line` counts from 1; `offset` is the line's start in the file, in bytes.
    """

    id: str
    text: str
    questions: tuple[Question, ...]
    row: dict[str, Any]
    line: int = 0
    offset: int = 0


FaultUnit = Literal["line", "row", "file"]


class FileFault(NamedTuple):
    """A fault in a problem file.

    `line` counts from 1; `place` is the path inside that line's row, "" for the row itself. `unit`
    says what `line` counts: lines of a text, or rows of an array or a table without lines. With
    "file" the fault belongs to the whole file, and `line` is 1.
    """

    line: int
    place: str
    reason: Sentence
    unit: FaultUnit = "line"

    def __str__(self) -> str:
        return str(self.sentence())

    def sentence(self) -> Sentence:
        line, place, reason, unit = self
        if unit == "file":
            return reason
        if unit == "row":
            return _in_row(line, place, reason)
        if place:
            return Sentence(
                "fault-in-place",
                "line {line}, {place}: {reason}",
                line=line,
                place=place,
                reason=reason,
            )
        return Sentence("fault-in-line", "line {line}: {reason}", line=line, reason=reason)


def _in_row(row: int, place: str, reason: Sentence) -> Sentence:
    if place:
        return Sentence(
            "fault-in-place-of-row",
            "row {row}, {place}: {reason}",
            row=row,
            place=place,
            reason=reason,
        )
    return Sentence("fault-in-row", "row {row}: {reason}", row=row, reason=reason)


class ProblemFileError(ValueError):
    """A problem file that cannot be accepted.

    `faults` holds the first faults, `total` is the number of all. With `stopped` that is the number
    where reading stopped: the rest of the file may have more.
    """

    def __init__(self, faults: list[FileFault], total: int, *, stopped: bool = False) -> None:
        self.sentence = first = faults[0].sentence()
        if stopped:
            self.sentence = Sentence(
                "and-at-least-more-faults",
                "{first} (and at least {more} more: reading stopped there)",
                first=first,
                more=total - 1,
            )
        elif total > 1:
            self.sentence = Sentence(
                "and-more-faults", "{first} (and {more} more)", first=first, more=total - 1
            )
        super().__init__(self.sentence)
        self.faults = faults
        self.total = total
        self.stopped = stopped


def refused_file(reason: Sentence) -> ProblemFileError:
    """The error of a file that is refused as a whole."""
    return ProblemFileError([FileFault(1, "", reason, "file")], 1)


def problem_of(row: dict[str, Any], line: int, offset: int) -> Problem | list[FileFault]:
    """The problem in a row, or the row's faults."""
    faults = [FileFault(line, place, reason) for place, reason in _row_faults(row)]
    if faults:
        return faults
    row.setdefault("id", str(line))
    questions = tuple(
        Question(
            q["question"], own_texts(q["options"]), _joined(q.get("answer")), q.get("analysis")
        )
        for q in row["questions"]
    )
    return Problem(str(row["id"]), row.get("problem", ""), questions, row, line, offset)


def _joined(answer: str | list[str] | None) -> str | None:
    return "".join(sorted(answer)) if answer else None


def _row_faults(row: dict[str, Any]) -> Iterator[tuple[str, Sentence]]:
    if "id" in row and not (
        isinstance(row["id"], str | int) and not isinstance(row["id"], bool) and row["id"] != ""
    ):
        yield "id", must_be(_ID, row["id"])
    if "problem" in row:
        yield from _text_faults(row, "problem", "", _TEXT_OR_NO_KEY)
    else:
        yield from ((name, _RENAME) for name in row if _is_text_elsewhere(row, name))
    questions = row.get("questions")
    if not isinstance(questions, list) or not questions:
        yield "questions", _must_have(_QUESTIONS, row, "questions")
        return
    if len(questions) > MAX_QUESTIONS:
        yield "questions", _too_many(len(questions))
        return
    for index, question in enumerate(questions):
        yield from _question_faults(question, f"questions[{index}]")


def _is_text_elsewhere(row: dict[str, Any], name: str) -> bool:
    """True if the text of the questions seems to stand under this name: "context", "problme"."""
    value = row[name]
    if not isinstance(value, str) or not value.strip() or len(name) > _LONGEST_NAME:
        return False
    plain = plain_name(name)
    if plain in PROBLEM:
        return True
    is_as_long = abs(len(plain) - len("problem")) <= 1  # problem_id is another word
    return is_as_long and SequenceMatcher(None, plain, "problem").ratio() > _MISSPELT


def _question_faults(question: Any, place: str) -> Iterator[tuple[str, Sentence]]:
    if not isinstance(question, dict):
        yield place, must_be(OBJECT, question)
        return
    yield from _text_faults(question, "question", f"{place}.")
    options = question.get("options")
    if not isinstance(options, list) or not 1 <= len(options) <= len(LABELS):
        yield f"{place}.options", _must_have(_OPTIONS, question, "options")
        return
    for index, option in enumerate(options):
        if not isinstance(option, str):
            yield f"{place}.options[{index}]", _unquoted(option)
        elif len(option) > MAX_CHARS:
            yield f"{place}.options[{index}]", _too_long(option)
    answer = question.get("answer")
    if not _is_key(answer, LABELS[: len(options)]):
        yield f"{place}.answer", _no_label(answer, len(options))
    if not isinstance(question.get("analysis", ""), str):
        yield f"{place}.analysis", must_be(_STRING, question["analysis"])


def _is_key(answer: Any, labels: str) -> bool:
    """True for one of `labels`, a list of different ones, and None."""
    several = answer if isinstance(answer, list) else [] if answer is None else [answer]
    found = [label for label in several if isinstance(label, str) and label in [*labels]]
    return len(set(found)) == len(several)


def _text_faults(
    mapping: dict[str, Any], key: str, prefix: str, wanted: Sentence = _TEXT
) -> Iterator[tuple[str, Sentence]]:
    value = mapping.get(key)
    if not isinstance(value, str) or not value.strip():
        yield f"{prefix}{key}", _must_have(wanted, mapping, key)
    elif len(value) > MAX_CHARS:
        yield f"{prefix}{key}", _too_long(value)


def _too_many(count: int) -> Sentence:
    return Sentence(
        "too-many-questions",
        "must be at most {limit}, are {count}; split the row",
        limit=MAX_QUESTIONS,
        count=count,
    )


def _too_long(text: str) -> Sentence:
    return Sentence(
        "text-too-long",
        "must have at most {limit} characters, has {count}",
        limit=MAX_CHARS,
        count=len(text),
    )


def _unquoted(option: Any) -> Sentence:
    return Sentence(
        "unquoted-option", "must be a string, is {found}; put it in quotes", found=_shown(option)
    )


def _no_label(answer: Any, options: int) -> Sentence:
    return Sentence(
        "no-label",
        "must be one of {labels}, or a list of different ones (or be left out), is {found}",
        labels=", ".join(LABELS[:options]),
        found=_as_written(answer) if isinstance(answer, list) else _shown(answer),
    )


def _must_have(wanted: Sentence, mapping: dict[str, Any], key: str) -> Sentence:
    if key in mapping:
        return must_be(wanted, mapping[key])
    return Sentence("value-missing", "is missing; it must be {wanted}", wanted=wanted)


def must_be(wanted: Sentence, value: Any) -> Sentence:
    return Sentence("must-be", "must be {wanted}, is {found}", wanted=wanted, found=_shown(value))


def _shown(value: Any) -> str:
    """A value's description for a message: containers by kind, scalars as written."""
    if isinstance(value, list):
        return Sentence("found-list", "a list of {count}", count=len(value))
    if isinstance(value, dict):
        return Sentence("found-object", "an object")
    return _as_written(value)


def _as_written(value: Any) -> str:
    text = json.dumps(value, allow_nan=False)
    return text if len(text) <= 40 else text[:37] + "..."
