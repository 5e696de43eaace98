"""BIG-bench hard: the options are a part of the input.

    {"input": "..?\nOptions:\n(A) ..\n(B) ..", "target": "(B)"}
    {"input": "..?\nOptions:\n- Yes\n- No", "target": "No"}

The question is the input without its options. Tasks whose inputs have no options ask for a free
answer; they are refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from contract.files.fields import asked, options_in, row_of, text_in
from contract.files.shapes import Reading, Record, RowFaultsError, Shape, Survey
from contract.options import LABELS
from contract.problems import must_be
from contract.sentences import Sentence

_HEAD = re.compile(r"^[ \t]*Options:[ \t]*$", re.MULTILINE)
_LETTERED = re.compile(r"^[ \t]*\(([A-Z])\)", re.MULTILINE)
_DASHED = re.compile(r"^[ \t]*-[ \t]", re.MULTILINE)
_LETTERS = re.compile(r"\([A-Z]\)(?:, \([A-Z]\))*")
_INSTRUCTION_ROW = {"instruction", "output", "history", "system"}


class _Asked(NamedTuple):
    question: str
    options: list[str]
    lettered: bool


def _fits(values: Mapping[str, Any]) -> bool:
    return (
        isinstance(values.get("input"), str)
        and "target" in values
        and isinstance(values["target"], str | None)
        and not values.keys() & _INSTRUCTION_ROW
    )


def _survey(_records: Iterable[Record], _reading: Reading) -> Survey:
    return {}


def _row(record: Record, _survey: Survey) -> dict[str, Any]:
    found = _asked(record.values)
    target = record.values.get("target")
    right = "" if target in (None, "") else _labels(target, found)
    return row_of(record.values, [asked(found.question, found.options, right)])


def _filled(
    values: Mapping[str, Any], _survey: Survey, answers: Sequence[str | None]
) -> dict[str, Any]:
    (answer,) = answers
    if answer is None:
        return {**values, "target": None}
    found = _asked(values)
    targets = [
        f"({label})" if found.lettered else found.options[LABELS.index(label)] for label in answer
    ]
    return {**values, "target": ", ".join(targets)}


def _asked(values: Mapping[str, Any]) -> _Asked:
    text = text_in(values, "input")
    heads = list(_HEAD.finditer(text))
    block = text[heads[-1].end() :] if heads else ""
    lettered = _LETTERED.search(block) is not None
    marks = list((_LETTERED if lettered else _DASHED).finditer(block))
    if not marks or block[: marks[0].start()].strip():
        reason = Sentence(
            "input-lacks-options",
            'must end in a line "Options:" and options that begin with "(A)" or "- "; a task'
            " without options cannot be answered by vote",
        )
        raise RowFaultsError(("input", reason))
    if lettered and "".join(mark[1] for mark in marks) != LABELS[: len(marks)]:
        reason = Sentence(
            "input-letters-out-of-order",
            "has options with the letters {letters}; they must follow one another from A on",
            letters=", ".join(mark[1] for mark in marks),
        )
        raise RowFaultsError(("input", reason))
    ends = [*(mark.start() for mark in marks[1:]), len(block)]
    options = [block[mark.end() : end].strip() for mark, end in zip(marks, ends, strict=True)]
    question = text_in({"input": text[: heads[-1].start()].strip()}, "input")
    return _Asked(question, options_in(options, "input"), lettered)


def _labels(target: Any, found: _Asked) -> str:
    """The labels that a target names by letters, "(B)", or by the exact text of an option."""
    labels = LABELS[: len(found.options)]
    text = target.strip() if isinstance(target, str) else ""
    if found.lettered and _LETTERS.fullmatch(text):
        named = text.replace("(", "").replace(")", "").replace(", ", "")
        if set(named) <= set(labels) and len(set(named)) == len(named):
            return "".join(sorted(named))
    if found.options.count(text) == 1:
        return labels[found.options.index(text)]
    names = [f"({label})" for label in labels] if found.lettered else found.options
    wanted = Sentence("wanted-target", "one of the options ({options})", options=", ".join(names))
    raise RowFaultsError(("target", must_be(wanted, target)))


SHAPE = Shape(
    name="bbh",
    about=Sentence("fields-of-bbh", 'input that ends in "Options:" and the options, target'),
    fits=_fits,
    survey=_survey,
    row=_row,
    filled=_filled,
    field=lambda _values, _survey: "target",
)
