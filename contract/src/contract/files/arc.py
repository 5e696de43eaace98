"""ARC and what copies it (CommonsenseQA, OpenBookQA): choices with labels of their own.

    {"id": "..", "question": "..", "choices": {"text": ["..", ".."], "label": ["A", "B"]},
    "answerKey": "B"}

`question_stem` may stand for `question`. The form of the first release is read too:

    {"id": "..", "question": {"stem": "..", "choices": [{"text": "..", "label": "A"}]},
    "answerKey": "B"}

Labels are letters or numbers. A key is a choice's label, or its number if the labels are letters,
or its letter if they are numbers. "" is no key.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from contract.files.fields import asked, object_in, options_in, row_of, text_in
from contract.files.shapes import Reading, Record, RowFaultsError, Shape, Survey
from contract.options import LABELS
from contract.problems import must_be
from contract.sentences import Sentence

_CHOICES = Sentence("wanted-choices", "a list of objects with text and label")
_NUMBERS = [str(number) for number in range(1, len(LABELS) + 1)]


class _Asked(NamedTuple):
    question: str
    options: list[str]
    labels: list[str]


def _fits(values: Mapping[str, Any]) -> bool:
    question = values.get("question", values.get("question_stem"))
    if isinstance(question, dict):
        choices = question.get("choices")
        return (
            "stem" in question
            and isinstance(choices, list)
            and all(isinstance(choice, dict) and "text" in choice for choice in choices)
        )
    choices = values.get("choices")
    return (
        isinstance(question, str)
        and isinstance(choices, dict)
        and isinstance(choices.get("text"), list)
        and isinstance(choices.get("label"), list)
    )


def _survey(records: Iterable[Record], _reading: Reading) -> Survey:
    """Whether keys are numbers where labels are letters, or the other way round."""
    return {"crossed": any(_is_crossed(record.values) for record in records)}


def _row(record: Record, _survey: Survey) -> dict[str, Any]:
    found = _asked(record.values)
    key = record.values.get("answerKey")
    several = key if isinstance(key, list) else [] if key in (None, "") else [key]
    places = {_place_of(one, found.labels) for one in several}
    if None in places or len(places) < len(several):
        wanted = Sentence("wanted-choice", "the label of a choice ({labels})", labels=_list(found))
        raise RowFaultsError(("answerKey", must_be(wanted, key)))
    right = "".join(label for place, label in enumerate(LABELS) if place in places)
    return row_of(record.values, [asked(found.question, found.options, right)])


def _filled(
    values: Mapping[str, Any], survey: Survey, answers: Sequence[str | None]
) -> dict[str, Any]:
    (answer,) = answers
    if answer is None:
        return {**values, "answerKey": None}
    names = _asked(values).labels
    if survey["crossed"]:
        names = [*LABELS] if names == _NUMBERS[: len(names)] else _NUMBERS
    own = [names[LABELS.index(label)] for label in answer]
    return {**values, "answerKey": own[0] if len(own) == 1 else own}


def _asked(values: Mapping[str, Any]) -> _Asked:
    question = values.get("question")
    if isinstance(question, dict):
        stem = text_in(question, "stem", "question.")
        place, choices = "question.choices", question.get("choices")
        if not isinstance(choices, list):
            raise RowFaultsError((place, must_be(_CHOICES, choices)))
        objects = [object_in(choice, f"{place}[{i}]") for i, choice in enumerate(choices)]
        options = options_in([choice.get("text") for choice in objects], place)
        return _Asked(stem, options, _labels([choice.get("label") for choice in objects], place))
    stem = text_in(values, "question" if "question" in values else "question_stem")
    both = object_in(values.get("choices"), "choices")
    options = options_in(both.get("text"), "choices.text")
    labels = _labels(both.get("label"), "choices.label")
    if len(labels) != len(options):
        reason = Sentence(
            "labels-of-other-number",
            "has {labels} labels for {count} choices; give each choice one",
            labels=len(labels),
            count=len(options),
        )
        raise RowFaultsError(("choices.label", reason))
    return _Asked(stem, options, labels)


def _labels(value: Any, place: str) -> list[str]:
    labels = value if isinstance(value, list) else []
    names = {_spelled(label) for label in labels}
    if not labels or "" in names or len(names) < len(labels):
        reason = Sentence("choices-lack-labels", "must give each choice a label of its own")
        raise RowFaultsError((place, reason))
    return [str(label) for label in labels]


def _place_of(key: Any, labels: Sequence[str]) -> int | None:
    """The place of the choice that `key` names, from 0."""
    name = _spelled(key)
    for names in ([_spelled(label) for label in labels], _NUMBERS, [*LABELS]):
        if name in names[: len(labels)]:
            return names.index(name)
    return None


def _is_crossed(values: Mapping[str, Any]) -> bool:
    try:
        labels = _asked(values).labels
    except RowFaultsError:
        return False
    name = _spelled(values.get("answerKey"))
    return name not in map(_spelled, labels) and _place_of(name, labels) is not None


def _spelled(name: Any) -> str:
    """A label to compare: "B" for " b", "3" for 3; "" for what is no label."""
    if isinstance(name, bool) or not isinstance(name, str | int):
        return ""
    return str(name).strip().upper()


def _list(found: _Asked) -> str:
    return ", ".join(found.labels)


SHAPE = Shape(
    name="arc",
    about=Sentence("fields-of-arc", "question, choices.text, choices.label, answerKey"),
    fits=_fits,
    survey=_survey,
    row=_row,
    filled=_filled,
    field=lambda _values, _survey: "answerKey",
)
