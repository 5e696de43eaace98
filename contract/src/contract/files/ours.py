"""Our own rows (`contract.problems`), in a form that is not JSON lines: an array of them, say."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from contract.files.shapes import Reading, Record, Shape, Survey
from contract.sentences import Sentence


def fits(values: Mapping[str, Any]) -> bool:
    return isinstance(values.get("questions"), list)


def survey(_records: Iterable[Record], _reading: Reading) -> Survey:
    return {}


def row(record: Record, _survey: Survey) -> dict[str, Any]:
    return dict(record.values)


def filled(
    values: Mapping[str, Any], _survey: Survey, answers: Sequence[str | None]
) -> dict[str, Any]:
    questions = [
        {**question, "answer": _written(labels)}
        for question, labels in zip(values["questions"], answers, strict=True)
    ]
    return {**values, "questions": questions}


def _written(labels: str | None) -> str | list[str] | None:
    return [*labels] if labels and len(labels) > 1 else labels


SHAPE = Shape(
    name="quorum",
    about=Sentence(
        "fields-of-quorum",
        "questions (each with question, options, perhaps answer), perhaps id and problem",
    ),
    fits=fits,
    survey=survey,
    row=row,
    filled=filled,
    field=lambda _values, _survey: "questions",
)
