"""What a shape decides by all records of a file, before the first is converted."""

from __future__ import annotations

from collections.abc import Iterator

from contract.files.contents import Contents
from contract.files.known import FLAT, OURS
from contract.files.parquet import too_many_rows
from contract.files.shapes import Reading, Record, Shape, ShapeError, Survey, listed
from contract.problems import FileFault, ProblemFileError, refused_file
from contract.sentences import Sentence


def counted(contents: Contents, most_rows: int) -> Iterator[Record | FileFault]:
    """The records and faults.

    Raises:
        ProblemFileError: they are more than `most_rows`.
    """
    for count, found in enumerate(contents.records(), start=1):
        if count > most_rows:
            raise refused_file(too_many_rows(most_rows))
        yield found


def survey_of(contents: Contents, shape: Shape, reading: Reading, most_rows: int) -> Survey:
    """What the whole file decides.

    Raises:
        ProblemFileError: it does not, and these records show it.
        ShapeError: it does not.
    """
    try:
        return shape.survey(_surveyed(contents, shape, most_rows), reading)
    except ShapeError as error:
        if not error.faults:
            raise
        faults = [FileFault(*fault, contents.form.unit) for fault in error.faults]
        raise ProblemFileError(faults, len(faults)) from None


def _surveyed(contents: Contents, shape: Shape, most_rows: int) -> Iterator[Record]:
    """The records that a survey sees.

    Raises:
        ProblemFileError: no record can be of this shape.
    """
    first: Record | None = None
    count = 0
    for found in counted(contents, most_rows):
        if not isinstance(found, Record):
            continue
        first = first or found
        if can_be(shape, found):
            count += 1
            yield found
    if first is not None and not count:
        fault = FileFault(first.number, "", misfit(first, shape), contents.form.unit)
        raise ProblemFileError([fault], 1)


def can_be(shape: Shape, record: Record) -> bool:
    """Flat rows and our own say themselves what is wrong with a record."""
    return shape in (FLAT, OURS) or shape.fits(record.values)


def misfit(record: Record, shape: Shape) -> Sentence:
    return Sentence(
        "record-misfit",
        "has {names}; the file is read as {shape}, which has {about}",
        names=listed(record.values),
        shape=shape.name,
        about=shape.about,
    )
