"""LogiQA 1: plain text with eight lines a question.

    (an empty line)
    b
    the text
    the question
    A.the first option
    B...
    C...
    D...

`records_of` makes records of the lines and `lines_of` makes the lines again. A record has the keys
answer, text, question and options, with the options as in the file. Where there is no key, the
letter's line is missing or empty, and `answer` is "". Lines that do not follow the scheme, up to
the next empty one, are a record with the single key `lines`, which gives no problem.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from contract.files.fields import asked, key_in, row_of, text_in
from contract.files.shapes import Reading, Record, RowFaultsError, Shape, Survey
from contract.sentences import Sentence

_LABELS = "ABCD"
_KEY = re.compile(r"\s*[A-Da-d]{1,4}\s*")
# "A.x", "A x", "A .x", "A: x" and "A甲", but not "Ax"
_OPTION = re.compile(r"\s*([A-D])(?:\s*[.．、:：,，)）]|(?![A-Za-z0-9]))\s*(.*)")


def looks_like(lines: Sequence[str]) -> bool:
    """True if the file's first lines hold a whole question."""
    first = next(records_of(lines), None)
    return first is not None and "options" in first.values


def records_of(lines: Iterable[str]) -> Iterator[Record]:
    """One record a question. Its number is that of its first line that is not empty, which is the
    letter's. Lines come without their ends.
    """
    source = enumerate(lines, start=1)
    ahead: deque[tuple[int, str]] = deque()

    def line(index: int) -> str | None:
        """A line ahead; None after the last."""
        while len(ahead) <= index:
            numbered = next(source, None)
            if numbered is None:
                return None
            ahead.append(numbered)
        return ahead[index][1]

    while (first := line(0)) is not None:
        if not first.strip():
            ahead.popleft()
            continue
        block = [text for text in map(line, range(7)) if text is not None]
        values = _question(block)
        size = 7 if values and values["answer"] else 6
        if values is None:
            size = 1
            while (line(size) or "").strip():
                size += 1
            values = {"lines": [text for _, text in list(ahead)[:size]]}
        yield Record(ahead[0][0], values)
        for _ in range(size):
            ahead.popleft()


def lines_of(values: Mapping[str, Any]) -> list[str]:
    """A record's lines, from the empty one on. Without a key the letter's line is left out."""
    if "lines" in values:
        return ["", *values["lines"]]
    key = [values["answer"]] if values["answer"] else []
    return ["", *key, values["text"], values["question"], *values["options"]]


def _question(block: Sequence[str]) -> dict[str, Any] | None:
    """The question in the first lines of `block`; None if they are no question."""
    key = block[0] if _KEY.fullmatch(block[0]) else ""
    text, question, *options = [*block[1:], ""][:6] if key else [*block, ""][:6]
    if not key and "".join(block[6:]).strip():
        return None
    if len(options) < len(_LABELS) or not all(map(_OPTION.fullmatch, options)):
        return None
    return {"answer": key, "text": text, "question": question, "options": options}


def _fits(values: Mapping[str, Any]) -> bool:
    whole = values.keys() == {"answer", "text", "question", "options"}
    return (whole and isinstance(values["answer"], str)) or values.keys() == {"lines"}


def _survey(records: Iterable[Record], _reading: Reading) -> Survey:
    """Whether keys are capital letters."""
    return {"capitals": any(record.values.get("answer", "").isupper() for record in records)}


def _row(record: Record, _survey: Survey) -> dict[str, Any]:
    values = record.values
    if "lines" in values:
        reason = Sentence(
            "not-eight-lines",
            "these {count} lines are no question: write an empty line, the right letter, the text,"
            " the question and four options A. to D., each on a line of its own",
            count=len(values["lines"]),
        )
        raise RowFaultsError(("", reason))
    found = [_OPTION.fullmatch(option) for option in values["options"]]
    for index, match in enumerate(found):
        if match is None or match[1] != _LABELS[index]:
            reason = Sentence(
                "option-lacks-letter", "must begin with {letter}.", letter=_LABELS[index]
            )
            raise RowFaultsError((f"options[{index}]", reason))
    options = [match[2] for match in found if match]
    key = key_in(values["answer"], len(options), "answer")
    return row_of(values, [asked(text_in(values, "question"), options, key)], passage="text")


def _filled(
    values: Mapping[str, Any], survey: Survey, answers: Sequence[str | None]
) -> dict[str, Any]:
    (answer,) = answers
    return {**values, "answer": (answer or "") if survey["capitals"] else (answer or "").lower()}


SHAPE = Shape(
    name="logiqa1",
    about=Sentence(
        "fields-of-logiqa1",
        "eight lines a question: empty, letter, text, question, four options",
    ),
    fits=_fits,
    survey=_survey,
    row=_row,
    filled=_filled,
    field=lambda _values, _survey: "answer",
)
