"""A shape is a form in which files hold questions: which fields a record has, and what they mean.

Each shape has a module of its own with a constant `SHAPE`. Its functions are pure. They see records
(a line's object, a table's row), never bytes: `records` reads the containers, `converting` joins
the two.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict

from contract.sentences import Sentence

_MOST_SHOWN, _LONGEST_SHOWN = 12, 40


class Record(NamedTuple):
    """One record of a file. `number` counts from 1: lines in a text, rows in a table or an
    array.
    """

    number: int
    values: dict[str, Any]


class Reading(BaseModel):
    """How the sender wants a file to be read. What is None or empty is decided by the content.

    `columns` maps our names (question, answer, A, ...) to the file's. `index_base` is the index of
    the first option in files whose answers are numbers.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    shape: str | None = None
    encoding: str | None = None
    columns: dict[str, str] = {}
    index_base: Literal[0, 1] | None = None


def listed(names: Iterable[str]) -> str:
    """Names from a file, for a message: the first ones, and each cut if it is long."""
    found = [
        name if len(name) <= _LONGEST_SHOWN else f"{name[:_LONGEST_SHOWN]}..." for name in names
    ]
    shown = found[:_MOST_SHOWN] + (["..."] if len(found) > _MOST_SHOWN else [])
    return ", ".join(shown) or Sentence("no-fields", "no fields")


class RowFaultsError(ValueError):
    """A record that gives no problem. Each fault is a place in the record ("answer",
    "choices.text[2]", "" for the whole record) and a reason.
    """

    def __init__(self, *faults: tuple[str, Sentence]) -> None:
        super().__init__(str(faults[0][1]))
        self.faults = faults


class ShapeError(ValueError):
    """The file as a whole cannot be read in this shape: its records do not decide something, and
    the sender must say it. The sentence names the candidates. `faults` are the records that show
    it, if some do: the number of each, a place in it, and the reason.
    """

    def __init__(self, sentence: Sentence, *faults: tuple[int, str, Sentence]) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.faults = faults


# What a shape decides by looking at all records once, as plain JSON: it is kept with the job.
Survey = dict[str, Any]


@dataclass(frozen=True)
class Shape:
    """`about` says in a few words which fields the shape has.

    `fits(values)`: a record with these values can be of this shape, judged by its keys and types.
    `survey(records, reading)`: the decisions that need the whole file. It reads all records once.
        Raises ShapeError if they do not decide.
    `row(record, survey)`: our row, without `id` if the record has none; a problem without a text
        has no key `problem`. Raises RowFaultsError.
    `filled(values, survey, answers)`: the record's values with its answers in place, in the form in
        which the file gives keys. `answers` has one entry a question: its labels ("B", or "AC" if
        several are right), or None for a question without an answer, which becomes null or "".
    `field(values, survey)`: the one key of a record's values that `filled` changes or adds.
    `place(place, row, survey)`: where in a record the part of our row stands that `place` names
        ("questions[0].options[2]"), as the sender of the file knows it. None if our names do.
    `told(survey)`: how the file is read, for people: which part comes from which field. None if
        `about` says it.
    """

    name: str
    about: Sentence
    fits: Callable[[Mapping[str, Any]], bool]
    survey: Callable[[Iterable[Record], Reading], Survey]
    row: Callable[[Record, Survey], dict[str, Any]]
    filled: Callable[[Mapping[str, Any], Survey, Sequence[str | None]], dict[str, Any]]
    field: Callable[[Mapping[str, Any], Survey], str]
    place: Callable[[str, Mapping[str, Any], Survey], str] | None = None
    told: Callable[[Survey], Sentence] | None = None
