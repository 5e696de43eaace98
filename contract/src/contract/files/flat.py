"""Flat rows: one question a record, with its options in a list or in columns, and perhaps its key.

MMLU, C-Eval, CMMLU, GPQA and most tables are of this shape. The names of fields may be English or
Chinese, in any spelling (`columns`); keys may be letters, numbers or texts (`keys`).

GPQA gives the right option and the wrong ones in columns of their own. Their order is shuffled, by
a digest of the row's content, so that the same row always gets the same order. The row's
`option_columns` records it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain, count
from typing import Any, NamedTuple

from contract.files.columns import named, plain_name
from contract.files.flat_fields import Fields, Sources, chosen_fields, fields_told
from contract.files.forms import told_together
from contract.files.key_faults import key_fault
from contract.files.key_forms import KeyCounts
from contract.files.keys import Keys, is_empty, is_left_out, labels_of, written
from contract.files.option_lists import is_blank, option_texts, option_without_text, text_of
from contract.files.shapes import Reading, Record, RowFaultsError, Shape, Survey
from contract.options import LABELS, letters_out_of_order
from contract.problems import must_be
from contract.sentences import Sentence

NEW_ANSWER = "answer"  # the column of answers in a file without keys
_TEXT = Sentence("wanted-text-in-column", "a text")
_LIST = Sentence("wanted-list-of-options", "a list of options")


class _Options(NamedTuple):
    """A row's options. `columns` are those that they come from, if each has its own."""

    texts: list[str]
    columns: tuple[str, ...] = ()


def fits(values: Mapping[str, Any]) -> bool:
    found = named(values)
    if not found.question or not found.has_options or "questions" in values:
        return False
    is_asked = any(isinstance(values[name], str | None) for name in found.question)
    listed = [isinstance(values[name], list | dict | str | None) for name in found.options]
    return is_asked and (bool(found.families or found.incorrect) or any(listed))


def missing(values: Mapping[str, Any]) -> list[str]:
    """What a record lacks to be of this shape, by our names."""
    found = named(values)
    lacking = [] if found.question else ["question"]
    return lacking if found.has_options else [*lacking, "options"]


def survey(records: Iterable[Record], reading: Reading) -> Survey:
    """Which columns are which part, and how keys are given.

    Raises:
        ShapeError: several columns could be one part, or the keys do not decide.
    """
    is_filled: dict[str, bool] = {}
    counts: dict[tuple[Sources, str], KeyCounts] = {}
    for number, values in records:
        for name, value in values.items():
            is_filled[name] = is_filled.get(name, False) or not is_left_out(value, ())
        for sources, answers in Sources.possible(values, reading):
            try:
                options = _options_in(values, sources)
            except RowFaultsError:
                continue
            for answer in answers:
                found = counts.setdefault((sources, answer), KeyCounts())
                found.add(number, values.get(answer), options.texts)
    fields = chosen_fields(is_filled, reading)
    keys = counts.get((fields.sources, fields.answer or ""), KeyCounts())
    has_keys = fields.answer is not None and not fields.sources.is_shuffled
    decided = keys.decided(reading.index_base, fields.answer or "") if has_keys else None
    return {
        "fields": fields.as_json(),
        "keys": decided._asdict() if decided else None,
        "columns": fields.columns(),
        "filled": fields.answer if has_keys else _free_name(is_filled),
    }


def row(record: Record, survey: Survey) -> dict[str, Any]:
    fields, keys = _read(survey)
    values = record.values
    question: dict[str, Any] = {"question": _text_in(values, fields.question)}
    options = _options_in(values, fields.sources)
    question["options"] = options.texts
    if not fields.sources.is_shuffled and (keys is None or keys.form == "letter"):
        _check_letters(options.texts, fields.sources)
    if fields.sources.is_shuffled:
        question["option_columns"] = [*options.columns]
        question["answer"] = LABELS[options.columns.index(fields.sources.columns[0])]
    elif (
        fields.answer
        and keys
        and not is_left_out(key := values.get(fields.answer), options.texts, keys)
    ):
        labels = labels_of(key, options.texts, keys)
        if labels is None:
            raise RowFaultsError((fields.answer, key_fault(key, options.texts, keys)))
        question["answer"] = [*labels] if len(labels) > 1 else labels
    if fields.analysis and not is_empty(values.get(fields.analysis)):
        question["analysis"] = _text_in(values, fields.analysis)
    made: dict[str, Any] = {}
    if fields.id and (own := _id_in(values.get(fields.id))) != "":
        made["id"] = own
    if fields.problem and not is_empty(values.get(fields.problem)):
        made["problem"] = _text_in(values, fields.problem)
    return made | {"questions": [question]}


def filled(
    values: Mapping[str, Any], survey: Survey, answers: Sequence[str | None]
) -> dict[str, Any]:
    fields, keys = _read(survey)
    (labels,) = answers
    options = _options_in(values, fields.sources).texts
    name = survey["filled"]
    if fields.sources.is_shuffled:
        text = options[LABELS.index(labels)] if labels else ""
        return {**values, name: text}
    return {**values, name: written(labels, options, keys, values.get(name))}


def _free_name(columns: Iterable[str]) -> str:
    """The name of the column of answers in a file without keys: none of its own columns' names, in
    any spelling.
    """
    taken = {*map(plain_name, columns)}
    names = chain([NEW_ANSWER], (f"{NEW_ANSWER}_{number}" for number in count(2)))
    return next(name for name in names if plain_name(name) not in taken)


def told(survey: Survey) -> Sentence:
    said, name = fields_told(*_read(survey)), survey["filled"]
    if name in (survey["fields"]["answer"], NEW_ANSWER):
        return said
    return told_together(
        said,
        Sentence("answers-go-to", "answers would be filled into a new column {name}", name=name),
    )


_PART_IN_QUESTION = re.compile(r"questions\[0\]\.(question|options|answer|analysis)(?:\[(\d+)\])?")


def place(ours: str, row: Mapping[str, Any], survey: Survey) -> str:
    """The column that holds a part of our row."""
    fields, _ = _read(survey)
    match = _PART_IN_QUESTION.fullmatch(ours)
    part = match[1] if match else ours
    if match and part == "options":
        return _place_of_options(match[2], row, fields.sources)
    return getattr(fields, part, None) or ours


def _place_of_options(index: str | None, row: Mapping[str, Any], sources: Sources) -> str:
    """The column of the option with this index, of all options if it is None."""
    if sources.listed is not None:
        return sources.listed if index is None else f"{sources.listed}[{index}]"
    if index is None:
        return sources.told()
    columns = row["questions"][0].get("option_columns", sources.columns)
    return str(columns[int(index)])


SHAPE = Shape(
    name="flat",
    about=Sentence(
        "fields-of-flat",
        "question, options (a list, or columns A, B, ...), perhaps answer",
    ),
    fits=fits,
    survey=survey,
    row=row,
    filled=filled,
    field=lambda _values, survey: str(survey["filled"]),
    place=place,
    told=told,
)


def _read(survey: Survey) -> tuple[Fields, Keys | None]:
    keys = survey["keys"]
    return Fields.of(survey["fields"]), Keys(**keys) if keys else None


def _text_in(values: Mapping[str, Any], column: str) -> str:
    text = text_of(values.get(column))
    if text is None or not text.strip():
        raise RowFaultsError((column, _must_hold(_TEXT, values, column)))
    return text


def _id_in(value: Any) -> str | int:
    """A record's id, "" if it has none. A column of whole numbers with a gap has 10.0 for 10."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, str | int) else ""


def _options_in(values: Mapping[str, Any], sources: Sources) -> _Options:
    if sources.listed is not None:
        held = values.get(sources.listed)
        texts = option_texts(held)
        if not texts or any(map(is_blank, texts)):
            if no_text := option_without_text(held):
                place = f"{sources.listed}{no_text.place}"
                raise RowFaultsError((place, _must_hold(_TEXT, {place: no_text.value}, place)))
            raise RowFaultsError((sources.listed, _must_hold(_LIST, values, sources.listed)))
        return _Options(texts)
    columns = [*sources.columns]
    while columns and is_blank(values.get(columns[-1])):
        columns.pop()
    if not columns:
        raise RowFaultsError((sources.columns[0], _must_hold(_TEXT, values, sources.columns[0])))
    found = {column: _text_in(values, column) for column in columns}
    if sources.is_shuffled:
        if is_blank(values.get(sources.columns[0])):
            raise RowFaultsError((columns[0], _must_hold(_TEXT, values, columns[0])))
        columns = _shuffled(columns, found)
    return _Options([found[column] for column in columns], tuple(columns))


def _check_letters(options: Sequence[str], sources: Sources) -> None:
    """An answer that is a letter could mean an option's place or the letter in its text."""
    if found := letters_out_of_order(options):
        reason = Sentence(
            "options-out-of-order",
            "the options begin with their letters in the order {found}, so it is unclear which "
            "option a letter means; put them in order, or remove the letters",
            found=", ".join(found),
        )
        raise RowFaultsError((sources.listed or sources.columns[0], reason))


def _shuffled(columns: list[str], texts: dict[str, str]) -> list[str]:
    """Ordered by digests of the content, so the order says nothing about which is right."""
    content = "\0".join(sorted(texts.values()))
    digests = {
        column: hashlib.sha256(f"{content}\0{texts[column]}\0{place}".encode()).digest()
        for place, column in enumerate(columns)
    }
    return sorted(columns, key=lambda column: digests[column])


def _must_hold(wanted: Sentence, values: Mapping[str, Any], column: str) -> Sentence:
    if column in values and not is_blank(values[column]):
        return must_be(wanted, values[column])
    return Sentence("value-empty", "is empty; it must be {wanted}", wanted=wanted)
