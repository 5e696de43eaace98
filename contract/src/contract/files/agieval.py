"""AGIEval: options that begin with their letters, a passage, and a key that may be a list.

    {"passage": null, "question": "..", "options": ["(A)..", "(B).."], "label": ["A", "C"],
    "answer": null, "other": null}

`label` is a letter, or a list if several are right (some files write every key as a list). null,
"" and [] are no key. Rows without options ask for a free answer, which is in `answer`; they are
refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from contract.files.fields import asked, key_in, options_in, row_of, text_in, written
from contract.files.shapes import Reading, Record, RowFaultsError, Shape, Survey
from contract.options import LABELS
from contract.sentences import Sentence

_KEYS = {"passage", "question", "options", "label"}
_LETTER = re.compile(r"\s*[(（]\s*([A-Z])\s*[)）]\s*")


def _fits(values: Mapping[str, Any]) -> bool:
    return (
        values.keys() >= _KEYS
        and isinstance(values["passage"], str | None)
        and isinstance(values["question"], str)
        and isinstance(values["options"], list | None)
        and isinstance(values["label"], str | list | None)
    )


def _survey(records: Iterable[Record], _reading: Reading) -> Survey:
    """Whether a single right option is written as a list."""
    labels = (record.values.get("label") for record in records)
    return {"lists": any(isinstance(label, list) and len(label) == 1 for label in labels)}


def _row(record: Record, _survey: Survey) -> dict[str, Any]:
    values = record.values
    question = text_in(values, "question")
    if values.get("options") is None:
        reason = Sentence(
            "asks-for-free-answer",
            "has no options, so it asks for a free answer; leave the row out",
        )
        raise RowFaultsError(("options", reason))
    options = _without_letters(options_in(values["options"], "options"))
    key = key_in(values.get("label"), len(options), "label")
    return row_of(values, [asked(question, options, key)], passage="passage")


def _filled(
    values: Mapping[str, Any], survey: Survey, answers: Sequence[str | None]
) -> dict[str, Any]:
    (answer,) = answers
    label = written(answer)
    return {**values, "label": [label] if survey["lists"] and isinstance(label, str) else label}


def _without_letters(options: list[str]) -> list[str]:
    """The options without "(A)", "(B)" ... Options without letters stay as they are."""
    found = [_LETTER.match(option) for option in options]
    if not any(found):
        return options
    for index, match in enumerate(found):
        if match is None or match[1] != LABELS[index]:
            reason = Sentence(
                "letter-out-of-order",
                "must begin with ({letter}), because the options have letters",
                letter=LABELS[index],
            )
            raise RowFaultsError((f"options[{index}]", reason))
    return [option[match.end() :] for option, match in zip(options, found, strict=True) if match]


SHAPE = Shape(
    name="agieval",
    about=Sentence("fields-of-agieval", 'passage, question, options that begin with "(A)", label'),
    fits=_fits,
    survey=_survey,
    row=_row,
    filled=_filled,
    field=lambda _values, _survey: "label",
)
