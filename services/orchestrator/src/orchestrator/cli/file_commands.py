"""`quorum convert` and `quorum check`: read a file of questions as the API would, without one."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer
from rich.console import Console

from contract.replacing import replacing
from orchestrator.cli.checking import Checked, checked_file, said_of
from orchestrator.cli.reading_options import Encoding, IndexBase, Map, More, Shape, reading_of

REFUSED = 3

err = Console(stderr=True)

File = Annotated[
    Path,
    typer.Argument(exists=True, dir_okay=False, readable=True, help="a file of questions"),
]
MostMib = Annotated[
    int,
    typer.Option(
        "--max-upload-mib", envvar="MAX_UPLOAD_MIB", min=1, help="the API's MAX_UPLOAD_MIB"
    ),
]


def convert_file(
    file: File,
    more: More = None,
    save: Annotated[
        Path | None, typer.Option("--out", help="the file to write; default: standard output")
    ] = None,
    shape: Shape = None,
    encoding: Encoding = None,
    columns: Map = None,
    index_base: IndexBase = None,
    most_mib: MostMib = 200,
) -> None:
    """Write the questions of any file as our rows, in JSON lines."""
    reading = reading_of(shape, encoding, [*(columns or ()), *(more or ())], index_base)
    with TemporaryDirectory() as folder:
        rows = Path(folder) / "rows.jsonl"
        checked = checked_file(file, rows, reading, most_mib << 20)
        _tell(file, checked)
        if not checked.accepted:
            raise typer.Exit(REFUSED)
        with (rows if rows.exists() else file).open("rb") as found:
            if save is None:
                shutil.copyfileobj(found, sys.stdout.buffer)
            else:
                with replacing(save) as target:
                    shutil.copyfileobj(found, target)


def check_file(
    file: File,
    more: More = None,
    shape: Shape = None,
    encoding: Encoding = None,
    columns: Map = None,
    index_base: IndexBase = None,
    most_mib: MostMib = 200,
    as_json: Annotated[bool, typer.Option("--json", help="print one JSON document")] = False,
) -> None:
    """Say what the API would read in a file, and how many questions it would accept."""
    reading = reading_of(shape, encoding, [*(columns or ()), *(more or ())], index_base)
    with TemporaryDirectory() as folder:
        checked = checked_file(file, Path(folder) / "rows.jsonl", reading, most_mib << 20)
    if as_json:
        print(checked.model_dump_json())
    else:
        _tell(file, checked)
    if not checked.accepted:
        raise typer.Exit(REFUSED)
    if not as_json:
        print(
            f"problems: {checked.problems}, questions: {checked.questions}, "
            f"with an answer: {checked.labelled}"
        )


def _tell(file: Path, checked: Checked) -> None:
    style = None if checked.accepted else "red"
    said = said_of(file, checked)
    err.print(said, style=style, markup=False, highlight=False, soft_wrap=True)
