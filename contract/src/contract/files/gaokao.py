"""GAOKAO-Bench: the options are a part of the question's text.

    {"year": "2010", "category": "..", "question": "1. ..\\nA. ..\\nB. ..\\nC. ..\\nD. ..\\n",
    "answer": ["B"], "analysis": "..", "index": 0, "score": 5}

Some files name the key `standard_answer`. It has one text a question, so "AC" means that both are
right. A record with several questions in its text is refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from contract.files.embedded import split
from contract.files.fields import asked, key_in, options_in, row_of, text_in
from contract.files.shapes import Reading, Record, RowFaultsError, Shape, Survey
from contract.problems import must_be
from contract.sentences import Sentence

_KEYS = ("answer", "standard_answer")
_COMPANIONS = {"year", "category", "index", "score"}
_OTHER_SHAPES = {"options", "choices", "A", "B", "questions", "passage", "label"}
_LETTERS = re.compile(r"[A-Z]{1,7}")
_ANALYSIS = Sentence("wanted-analysis", "a text, or null if there is none")


def _fits(values: Mapping[str, Any]) -> bool:
    key, companions = values.get(_key_name(values)), len(values.keys() & _COMPANIONS)
    texts = key if isinstance(key, list) else []
    return (
        isinstance(values.get("question"), str)
        and not values.keys() & _OTHER_SHAPES
        and isinstance(key, list | None)
        and all(isinstance(text, str) for text in texts)
        and (companions > 1 or (bool(texts) and all(map(_LETTERS.fullmatch, texts))))
    )


def _survey(_records: Iterable[Record], _reading: Reading) -> Survey:
    return {}


def _row(record: Record, _survey: Survey) -> dict[str, Any]:
    values = record.values
    text, options = split(text_in(values, "question"), "question")
    name = _key_name(values)
    key = values.get(name)
    if isinstance(key, list) and len(key) > 1:
        reason = Sentence(
            "several-keys",
            "has {count} keys, but the text has options for one question; if several options are"
            ' right, write them as one text, such as "AC"',
            count=len(key),
        )
        raise RowFaultsError((name, reason))
    found = asked(text, options_in(options, "question"), key_in(key, len(options), name))
    analysis = values.get("analysis")
    if not isinstance(analysis, str | None):
        raise RowFaultsError(("analysis", must_be(_ANALYSIS, analysis)))
    if analysis and analysis.strip():
        found["analysis"] = analysis
    return row_of(values, [found])


def _filled(
    values: Mapping[str, Any], _survey: Survey, answers: Sequence[str | None]
) -> dict[str, Any]:
    (answer,) = answers
    return {**values, _key_name(values): None if answer is None else [answer]}


def _key_name(values: Mapping[str, Any]) -> str:
    return next((name for name in _KEYS if name in values), _KEYS[0])


SHAPE = Shape(
    name="gaokao",
    about=Sentence(
        "fields-of-gaokao",
        "question with its options in the text, answer (a list), analysis",
    ),
    fits=_fits,
    survey=_survey,
    row=_row,
    filled=_filled,
    field=lambda values, _survey: _key_name(values),
)
