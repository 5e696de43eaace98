"""LogiQA 2: a text with one question, and a key that is the index of an option, from 0.

    {"example_id": 7, "text": "..", "question": "..", "options": ["..", ".."], "answer": 2}

English files name the id `id`. Several right options are a list of indices. `logiqa_text` has the
first version, which is plain text.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from contract.files.fields import asked, options_in, row_of, text_in
from contract.files.shapes import Reading, Record, RowFaultsError, Shape, Survey
from contract.options import LABELS, own_texts
from contract.problems import must_be
from contract.sentences import Sentence


def _fits(values: Mapping[str, Any]) -> bool:
    answer = values.get("answer")
    return (
        isinstance(values.get("text"), str)
        and isinstance(values.get("question"), str)
        and isinstance(values.get("options"), list)
        and isinstance(answer, int | list | None)
        and not isinstance(answer, bool)
        and not values.keys() & {"passage", "label"}
    )


def _survey(_records: Iterable[Record], reading: Reading) -> Survey:
    """The index of the first option: 0 by the benchmark's definition, unless the sender says 1."""
    return {"first": reading.index_base or 0}


def _row(record: Record, survey: Survey) -> dict[str, Any]:
    values, first = record.values, survey["first"]
    question = text_in(values, "question")
    options = options_in(values.get("options"), "options")
    key = values.get("answer")
    several = key if isinstance(key, list) else [] if key is None else [key]
    places = {one - first for one in several if type(one) is int}
    if len(places) < len(several) or not places <= {*range(len(options))}:
        wanted = Sentence(
            "wanted-option-index",
            "the index of an option, from {first} to {last}",
            first=first,
            last=first + len(options) - 1,
        )
        raise RowFaultsError(("answer", must_be(wanted, key)))
    right = "".join(LABELS[place] for place in sorted(places))
    found = asked(question, own_texts(options), right)
    return row_of(values, [found], passage="text", id_keys=("example_id", "id"))


def _filled(
    values: Mapping[str, Any], survey: Survey, answers: Sequence[str | None]
) -> dict[str, Any]:
    (answer,) = answers
    if answer is None:
        return {**values, "answer": None}
    places = [LABELS.index(label) + survey["first"] for label in answer]
    return {**values, "answer": places[0] if len(places) == 1 else places}


SHAPE = Shape(
    name="logiqa2",
    about=Sentence("fields-of-logiqa2", "text, question, options, answer (an index from 0)"),
    fits=_fits,
    survey=_survey,
    row=_row,
    filled=_filled,
    field=lambda _values, _survey: "answer",
)
