"""The options that say how a file of questions is to be read, for commands that read it here."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal

import typer

from contract.files.shapes import Reading
from orchestrator.errors import InvalidSettingError
from orchestrator.mapping import parse_columns

More = Annotated[
    list[str] | None, typer.Argument(metavar="[NAME=COLUMN]...", help="more columns for --map")
]
Shape = Annotated[
    str | None, typer.Option(help="read the file in this shape; default: by its content")
]
Encoding = Annotated[
    str | None, typer.Option(help="the file's encoding, such as gbk; default: utf-8")
]
Map = Annotated[
    list[str] | None,
    typer.Option(
        "--map",
        metavar="NAME=COLUMN",
        help="a column that holds question, options, A, B, ..., answer, problem, id or analysis",
    ),
]
IndexBase = Annotated[
    int | None,
    typer.Option(min=0, max=1, help="the number of the first option, if answers are numbers"),
]


def reading_of(
    shape: str | None, encoding: str | None, columns: Iterable[str], index_base: int | None
) -> Reading:
    """Raises typer.BadParameter: a word of `columns` is no pair."""
    try:
        found = parse_columns(" ".join(columns))
    except InvalidSettingError as error:
        raise typer.BadParameter(error.sentence, param_hint="--map NAME=COLUMN") from None
    base: Literal[0, 1] | None = None if index_base is None else 1 if index_base else 0
    return Reading(shape=shape, encoding=encoding, columns=found, index_base=base)


def form_of(reading: Reading) -> dict[str, str | int | None]:
    """The same as fields of POST /jobs."""
    columns = " ".join(f"{name}={column}" for name, column in reading.columns.items())
    return {
        "shape": reading.shape,
        "encoding": reading.encoding,
        "columns": columns or None,
        "index_base": reading.index_base,
    }
