"""The posted file again, with answers in it: the same shape, container, columns and encoding."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from shutil import copyfileobj
from tempfile import TemporaryDirectory
from typing import Any, BinaryIO

from contract.files.contents import Contents
from contract.files.converting import Recognized
from contract.files.encodings import ENCODINGS
from contract.files.known import SHAPES
from contract.files.logiqa_text import lines_of
from contract.files.opening import open_file
from contract.files.parquet import write_filled_parquet
from contract.files.shapes import Record
from contract.files.tables import (
    Row,
    column_names,
    delimiter_line,
    first_cells,
    table_line,
    table_rows,
)
from contract.strict_json import write_json

FILLING = ".filling-"
_BOM = "\ufeff"


def write_filled(
    source: Path,
    recognized: Recognized,
    answers: Iterator[Sequence[str | None]],
    target: BinaryIO,
    *,
    scratch: Path | None = None,
) -> None:
    """Write `source` to `target` with `answers` in place of its keys. A packed file comes unpacked,
    in a folder `FILLING`* of `scratch`, which is removed (default: the system's temporary folder).

    `answers` has an entry a record, in order: the labels of each of its questions, or None for one
    without an answer.

    Raises:
        ProblemFileError: `source` is not the file that was recognized.
    """
    with TemporaryDirectory(prefix=FILLING, dir=scratch) as name:
        folder = Path(name)
        contents = open_file(
            source,
            folder,
            lambda _: recognized.form.container != "json-object",
            encoding=recognized.encoding or None,
            most_bytes=recognized.unpacked_bytes,
        ).contents
        filled = _filled(contents, recognized, answers)
        if recognized.form.container == "parquet":
            made = folder / "filled.parquet"
            write_filled_parquet(
                contents.path, _changed(contents, recognized, filled), folder, made
            )
            with made.open("rb") as file:
                copyfileobj(file, target)
            return
        pieces = _pieces(contents, recognized, filled)
        if recognized.has_mark:
            pieces = chain([_BOM], pieces)
        _write(pieces, recognized.encoding, target)


def _filled(
    contents: Contents, recognized: Recognized, answers: Iterator[Sequence[str | None]]
) -> Iterator[dict[str, Any]]:
    shape = SHAPES[recognized.shape]
    records = (found for found in contents.records() if isinstance(found, Record))
    for record, labels in zip(records, answers, strict=True):
        yield shape.filled(record.values, recognized.survey, labels)


def _changed(
    contents: Contents, recognized: Recognized, filled: Iterator[dict[str, Any]]
) -> Iterator[dict[str, Any]]:
    """The values of the column that answers stand in."""
    first = next(found for found in contents.records() if isinstance(found, Record))
    name = SHAPES[recognized.shape].field(first.values, recognized.survey)
    return ({name: values[name]} for values in filled)


def _pieces(
    contents: Contents, recognized: Recognized, filled: Iterator[dict[str, Any]]
) -> Iterator[str]:
    indent = recognized.form.indent
    match recognized.form.container:
        case "json-array":
            return _list_pieces(filled, indent)
        case "json-object":
            around = {**contents.around, recognized.form.key: [*filled]}
            return iter([write_json(around, indent=indent), "\n"])
        case "table":
            return _table_pieces(contents, filled)
        case "text":
            return ("\n".join([*lines_of(values), ""]) for values in filled)
        case "json-objects":
            return (write_json(values, indent=indent) + "\n" for values in filled)
        case _:
            return (write_json(values) + "\n" for values in filled)


def _list_pieces(filled: Iterator[dict[str, Any]], indent: int | None) -> Iterator[str]:
    between = ", " if indent is None else ",\n" + " " * indent
    yield "[" if indent is None else "[\n" + " " * indent
    for number, values in enumerate(filled):
        text = write_json(values, indent=indent)
        yield between if number else ""
        yield text if indent is None else text.replace("\n", "\n" + " " * indent)
    yield "]\n" if indent is None else "\n]\n"


def _table_pieces(contents: Contents, filled: Iterator[dict[str, Any]]) -> Iterator[str]:
    """The table's own cells, also of columns without a name, and those that an answer changes."""
    form = contents.form
    names = [*form.header] or column_names(contents.path, form)
    rows = (row for row in table_rows(contents.path, form) if isinstance(row, Row))
    new: list[str] | None = None
    yield delimiter_line(form)
    for row, values in zip(rows, filled, strict=True):
        if new is None:
            new = [name for name in values if name not in names]
            if not form.header:
                yield table_line([*first_cells(contents.path, form), *new], form)
        cells = [values.get(name, cell) for name, cell in zip(names, row.cells, strict=True)]
        yield table_line([*cells, *(values[name] for name in new)], form)


def _write(pieces: Iterator[str], encoding: str, target: BinaryIO) -> None:
    codec = ENCODINGS[encoding]
    file = io.TextIOWrapper(target, encoding=codec, newline="")
    try:
        for piece in pieces:
            file.write(piece)
        file.flush()
    finally:
        file.detach()
