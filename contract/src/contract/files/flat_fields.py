"""Which columns of a file of flat rows hold which part of a question: by their names, or as the
sender maps them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from contract.files.columns import Named, named, plain_name
from contract.files.forms import told_together
from contract.files.key_forms import form_told
from contract.files.keys import Keys
from contract.files.shapes import Reading, ShapeError, listed
from contract.options import LABELS
from contract.sentences import Sentence

# Our names, which `Reading.columns` maps to the file's.
OUR_NAMES = ("question", "options", *LABELS, "answer", "problem", "id", "analysis")


class Sources(NamedTuple):
    """Where the options come from: the column `listed`, or `columns`, one an option. With
    `is_shuffled`, the first of the columns has the right one.
    """

    listed: str | None
    columns: tuple[str, ...]
    is_shuffled: bool = False

    @classmethod
    def possible(
        cls, columns: Sequence[str] | Mapping[str, Any], reading: Reading
    ) -> Iterator[tuple[Sources, list[str]]]:
        """Each possible source, with the columns that could be the keys."""
        found = _named(columns, reading)
        for sources in _sources(found):
            yield sources, [] if sources.is_shuffled else found.answer

    def told(self) -> str:
        if self.listed is not None:
            return self.listed
        if self.is_shuffled:
            return ", ".join(self.columns)
        return Sentence(
            "from-to", "{first} to {last}", first=self.columns[0], last=self.columns[-1]
        )


class Fields(NamedTuple):
    """The column of each part. `columns` says the same by our names."""

    question: str
    sources: Sources
    answer: str | None
    problem: str | None
    id: str | None
    analysis: str | None

    def as_json(self) -> dict[str, Any]:
        listed, columns, is_shuffled = self.sources
        return self._asdict() | {"sources": [listed, [*columns], is_shuffled]}

    @classmethod
    def of(cls, written: dict[str, Any]) -> Fields:
        listed, columns, is_shuffled = written["sources"]
        return cls(**(written | {"sources": Sources(listed, tuple(columns), is_shuffled)}))

    def columns(self) -> dict[str, str]:
        listed, columns, is_shuffled = self.sources
        options = {"options": listed} if listed is not None else {}
        if not is_shuffled:
            options |= dict(zip(LABELS, columns, strict=False))
        parts = {name: getattr(self, name) for name in ("answer", "problem", "id", "analysis")}
        return {"question": self.question, **options} | {k: v for k, v in parts.items() if v}


def chosen_fields(is_filled: Mapping[str, bool], reading: Reading) -> Fields:
    """The columns of a file's parts. `is_filled` has its columns, and if any record has a value
    there: a column without values is taken only if no other could be the part.

    Raises:
        ShapeError: a part or an option has no column or several, or a mapped column is not there.
    """
    _check_map([*is_filled], reading)
    found = _named([name for name, some in is_filled.items() if some], reading)
    spare = _named([*is_filled], reading)
    question = _the_one("question", found.question or spare.question[:1], is_filled)
    sources = _sources(found) or _sources(spare)[:1]
    if len(sources) > 1:
        names = [source.listed or ", ".join(source.columns) for source in sources]
        raise ShapeError(
            Sentence(
                "several-sources",
                "the options could be in {names}; map those that hold them, as in options={name} "
                "or A={name}",
                names="; ".join(names),
                name=sources[0].listed or sources[0].columns[0],
            )
        )
    if not sources:
        raise ShapeError(_no_column("options", is_filled))
    if sources[0].columns and spare.twins:
        raise ShapeError(
            Sentence(
                "option-twice",
                "another column could be the same option as {name}; names of options must differ "
                "in more than case, spaces and marks: rename one, or map all options, as in "
                "A={name}",
                name=listed(spare.twins[:1]),
            )
        )
    is_shuffled = sources[0].is_shuffled
    answer = [] if is_shuffled else found.answer or spare.answer[:1]
    return Fields(
        question=question,
        sources=sources[0],
        answer=_the_one("answer", answer, is_filled) if answer else None,
        problem=_the_one("problem", found.problem, is_filled) if found.problem else None,
        id=min(found.id, key=lambda name: plain_name(name) != "id", default=None),
        analysis=next(iter(found.analysis), None),
    )


def fields_told(fields: Fields, keys: Keys | None) -> Sentence:
    """Which part comes from which column, in one sentence."""
    told = Sentence(
        "read-from",
        "question from {question}, options from {options}",
        question=fields.question,
        options=fields.sources.told(),
    )
    if fields.sources.is_shuffled:
        told = told_together(
            told, Sentence("first-is-right", "the first of them is right, shuffled")
        )
    elif fields.answer and keys:
        told = told_together(
            told,
            Sentence(
                "answer-from",
                "answer from {column}, {form}",
                column=fields.answer,
                form=_form_told(keys),
            ),
        )
    else:
        told = told_together(told, Sentence("no-answers", "no answers"))
    if fields.problem:
        told = told_together(
            told, Sentence("text-from", "text from {column}", column=fields.problem)
        )
    if fields.analysis:
        told = told_together(
            told, Sentence("analysis-from", "analysis from {column}", column=fields.analysis)
        )
    return told


def _form_told(keys: Keys) -> Sentence:
    if keys.form == "number":
        return Sentence("as-numbers", "numbers from {first}", first=keys.first or 0)
    return form_told(keys.form)


def _named(columns: Sequence[str] | Mapping[str, Any], reading: Reading) -> Named:
    """Which columns could be which part, where the sender's map leaves it open."""
    mapped = {ours: column for ours, column in reading.columns.items() if column in columns}
    taken = set(mapped.values())
    found = named(column for column in columns if column not in taken)
    changes: dict[str, Any] = {
        part: [column] for part, column in mapped.items() if part in Named._fields
    }
    letters = [mapped[label] for label in LABELS if label in mapped]
    if letters or "options" in changes:
        none: dict[str, Any] = {"options": [], "correct": [], "incorrect": [], "twins": []}
        changes = none | {"families": [letters] if letters else []} | changes
    return found._replace(**changes)


def _sources(found: Named) -> list[Sources]:
    listed = [Sources(column, ()) for column in found.options]
    families = [Sources(None, tuple(family)) for family in found.families]
    if listed or families or not found.incorrect:
        return listed + families
    return [Sources(None, (right, *found.incorrect), True) for right in found.correct]


def _the_one(part: str, columns: list[str], is_filled: Mapping[str, bool]) -> str:
    if not columns:
        raise ShapeError(_no_column(part, is_filled))
    if len(columns) > 1:
        raise ShapeError(
            Sentence(
                "several-columns",
                "{columns} could each be {part}; map one, as in {part}={column}",
                columns=listed(columns),
                part=part,
                column=columns[0],
            )
        )
    return columns[0]


def _check_map(columns: list[str], reading: Reading) -> None:
    for ours, column in reading.columns.items():
        if ours not in OUR_NAMES:
            raise ShapeError(
                Sentence(
                    "no-such-part",
                    "{name!r} is no part of a question; map question, options, A to Z, answer, "
                    "problem, id or analysis",
                    name=ours,
                )
            )
        if column not in columns:
            raise ShapeError(
                Sentence(
                    "no-such-column",
                    "there is no column {column!r}; there are {columns}",
                    column=column,
                    columns=listed(columns),
                )
            )
    mapped = [*reading.columns.values()]
    for column in mapped:
        if mapped.count(column) > 1:
            raise ShapeError(
                Sentence(
                    "mapped-twice", "the column {column!r} is mapped to two parts", column=column
                )
            )
    letters = "".join(label for label in LABELS if label in reading.columns)
    if letters != LABELS[: len(letters)] or (letters and "options" in reading.columns):
        raise ShapeError(
            Sentence(
                "letters-mapped",
                "the columns of options are mapped as A, B, C without a gap, and not with options",
            )
        )


def _no_column(part: str, columns: Mapping[str, Any]) -> Sentence:
    return Sentence(
        "no-column-for",
        "no column is {part}; map one of {columns}, as in {part}=NAME",
        part=part,
        columns=listed(columns),
    )
