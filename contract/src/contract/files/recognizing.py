"""Which shape a file is of: the one that its first records fit, or the one that the sender names.

Our own rows and flat rows are generic: they are taken if no benchmark's shape fits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from contract.files import flat
from contract.files.chats import chat_shape
from contract.files.forms import Container
from contract.files.known import BENCHMARKS, EMBEDDED, FLAT, LINES, OURS, SHAPES
from contract.files.shapes import Reading, Record, Shape, ShapeError, listed
from contract.sentences import Sentence


def is_record(values: Mapping[str, Any]) -> bool:
    """True if an object is a record itself, not a holder of records."""
    return any(shape.fits(values) for shape in SHAPES.values()) or _is_for_training(values)


def shape_of(first: Sequence[Record], reading: Reading, container: Container) -> Shape:
    """The shape of a file whose first records are these; there is at least one.

    Raises:
        ShapeError: no shape fits, or several do, or there is none of the name that is sent.
    """
    if reading.shape is not None:
        return _named_shape(reading.shape, reading)
    if container == "text":
        return LINES
    if reading.columns:
        return FLAT
    if _most(first, OURS) and any("problem" in record.values for record in first):
        return OURS
    possible = BENCHMARKS if _most(first, FLAT) else (*BENCHMARKS, *EMBEDDED)
    fitting = [shape for shape in possible if _most(first, shape)]
    if len(fitting) > 1:
        raise ShapeError(
            Sentence(
                "several-shapes",
                "could be of several shapes: {names}; name one, as in shape={name}",
                names=", ".join(shape.name for shape in fitting),
                name=fitting[0].name,
            )
        )
    if fitting:
        return fitting[0]
    for shape in (OURS, FLAT):
        if _most(first, shape):
            return shape
    raise ShapeError(_why_none(first[0]))


def _most(first: Sequence[Record], shape: Shape) -> bool:
    """True if more than half of the records fit: one bad record does not change a file's shape."""
    return 2 * sum(shape.fits(record.values) for record in first) > len(first)


def _named_shape(name: str, reading: Reading) -> Shape:
    shape = SHAPES.get(name)
    if shape is None:
        raise ShapeError(
            Sentence(
                "no-such-shape",
                "there is no shape {name!r}; known are {known}",
                name=name,
                known=", ".join(SHAPES),
            )
        )
    if reading.columns and shape is not FLAT:
        raise ShapeError(
            Sentence(
                "columns-without-flat",
                "columns are mapped for the shape flat only, not for {name}",
                name=name,
            )
        )
    return shape


def _why_none(record: Record) -> Sentence:
    values = record.values
    if _is_for_training(values):
        return Sentence(
            "rows-for-training",
            "holds instructions with replies ({names}): such rows are for training, not for "
            "answering; send them to the trainer",
            names=listed(values),
        )
    lacking = flat.missing(values)
    if not lacking:
        return Sentence(
            "fields-of-other-kind",
            "is of no shape that is read here: the question must be a text, and the options a "
            "list of texts or columns A, B, ...; the first record has {names}",
            names=listed(values),
        )
    return Sentence(
        "no-shape",
        "is of no shape that is read here: the first record has {names}, and lacks {lacking}; "
        "map columns, as in {part}=NAME, or name a shape: {known}",
        names=listed(values),
        lacking=_together(lacking),
        part=lacking[0],
        known=", ".join(SHAPES),
    )


def _is_for_training(values: Mapping[str, Any]) -> bool:
    return chat_shape(values) is not None or values.keys() >= {"prompt", "completion"}


def _together(lacking: Sequence[str]) -> str:
    if len(lacking) == 1:
        return lacking[0]
    return Sentence("both", "{first} and {second}", first=lacking[0], second=lacking[1])
