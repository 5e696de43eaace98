"""AR-LSAT: a passage with several questions.

    {"id": "..", "passage": "..", "questions": [{"id": "..", "question": "..", "options": ["..",
    ".."], "answer": "B"}]}

Our own rows have `problem` in place of `passage`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from contract.files.fields import asked, key_in, object_in, options_in, row_of, text_in, written
from contract.files.shapes import Reading, Record, RowFaultsError, Shape, Survey
from contract.problems import must_be
from contract.sentences import Sentence

_FIELDS = {"question", "options"}
_QUESTIONS = Sentence("wanted-passage-questions", "a list with at least one question")


def _fits(values: Mapping[str, Any]) -> bool:
    questions = values.get("questions")
    return (
        "problem" not in values
        and isinstance(values.get("passage"), str)
        and isinstance(questions, list)
        and all(
            isinstance(one, dict) and one.keys() >= {"question", "options"} for one in questions
        )
    )


def _survey(_records: Iterable[Record], _reading: Reading) -> Survey:
    return {}


def _row(record: Record, _survey: Survey) -> dict[str, Any]:
    questions = record.values.get("questions")
    if not isinstance(questions, list) or not questions:
        raise RowFaultsError(("questions", must_be(_QUESTIONS, questions)))
    found = [_question(one, f"questions[{index}]") for index, one in enumerate(questions)]
    return row_of(record.values, found, passage="passage")


def _question(question: Any, place: str) -> dict[str, Any]:
    values = object_in(question, place)
    text = text_in(values, "question", f"{place}.")
    options = options_in(values.get("options"), f"{place}.options")
    return asked(text, options, key_in(values.get("answer"), len(options), f"{place}.answer"))


def _filled(
    values: Mapping[str, Any], _survey: Survey, answers: Sequence[str | None]
) -> dict[str, Any]:
    questions = [
        {**question, "answer": written(answer)}
        for question, answer in zip(values["questions"], answers, strict=True)
    ]
    return {**values, "questions": questions}


SHAPE = Shape(
    name="ar-lsat",
    about=Sentence("fields-of-ar-lsat", "passage, questions[question, options, answer]"),
    fits=_fits,
    survey=_survey,
    row=_row,
    filled=_filled,
    field=lambda _values, _survey: "questions",
)
