"""`quorum convert` and `quorum check`: read a file of questions as the API would, without one."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Literal

import typer
from pydantic import BaseModel
from rich.console import Console

from contract import FileFault, ProblemFileError, Sentence, iter_problems
from contract.files.converting import Recognized, convert
from contract.files.jsonl import read_lines
from contract.files.shapes import Reading
from contract.problems import refused_file
from contract.replacing import replacing
from orchestrator.api.schemas import Fault
from orchestrator.errors import BodyTooLargeError, InvalidSettingError
from orchestrator.mapping import parse_columns

REFUSED = 3
_OURS = Sentence("read-as-ours", "our own rows in JSON lines: taken as they are")

err = Console(stderr=True)

File = Annotated[
    Path,
    typer.Argument(exists=True, dir_okay=False, readable=True, help="a file of questions"),
]
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
MostMib = Annotated[
    int,
    typer.Option(
        "--max-upload-mib", envvar="MAX_UPLOAD_MIB", min=1, help="the API's MAX_UPLOAD_MIB"
    ),
]


class Checked(BaseModel):
    """What the API would make of a file. `recognized` is None for our own rows in JSON lines.
    `labelled` counts the questions with an answer. A refused file has only `errors`.
    """

    accepted: bool
    statement: str = ""
    problems: int = 0
    questions: int = 0
    labelled: int = 0
    recognized: Recognized | None = None
    errors: list[Fault] = []
    error_count: int = 0


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
    reading = _reading(shape, encoding, [*(columns or ()), *(more or ())], index_base)
    with TemporaryDirectory() as folder:
        rows = Path(folder) / "rows.jsonl"
        checked = _checked(file, rows, reading, most_mib << 20)
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
    reading = _reading(shape, encoding, [*(columns or ()), *(more or ())], index_base)
    with TemporaryDirectory() as folder:
        checked = _checked(file, Path(folder) / "rows.jsonl", reading, most_mib << 20)
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


def _reading(
    shape: str | None, encoding: str | None, columns: list[str], index_base: int | None
) -> Reading:
    try:
        found = parse_columns(" ".join(columns))
    except InvalidSettingError as error:
        raise typer.BadParameter(error.sentence, param_hint="--map NAME=COLUMN") from None
    base: Literal[0, 1] | None = None if index_base is None else 1 if index_base else 0
    return Reading(shape=shape, encoding=encoding, columns=found, index_base=base)


def _checked(file: Path, rows: Path, reading: Reading, most_bytes: int) -> Checked:
    """What is in a file. Its rows are in `rows` then, unless it holds our own in JSON lines."""
    try:
        if file.stat().st_size > most_bytes:
            raise refused_file(BodyTooLargeError(most_bytes).sentence)
        recognized = convert(file, rows, reading, most_bytes=most_bytes)
        problems = questions = labelled = 0
        with (rows if recognized else file).open("rb") as found:
            for problem in iter_problems(read_lines(found)):
                problems += 1
                questions += len(problem.questions)
                labelled += sum(question.answer is not None for question in problem.questions)
    except ProblemFileError as error:
        faults = [Fault.of(fault) for fault in error.faults]
        return Checked(accepted=False, errors=faults, error_count=error.total)
    statement = recognized.statement if recognized else _OURS.message()
    return Checked(
        accepted=True,
        statement=statement.text,
        problems=problems,
        questions=questions,
        labelled=labelled,
        recognized=recognized,
    )


def _tell(file: Path, checked: Checked) -> None:
    if checked.accepted:
        err.print(f"{file}: {checked.statement}", markup=False, highlight=False, soft_wrap=True)
        return
    told = [
        str(FileFault(one.line, one.place, Sentence.made(one.reason, "", {}), one.unit))
        for one in checked.errors
    ]
    unsaid = checked.error_count - len(told)
    lines = [f"{file} is refused:", *told, *([f"and {unsaid} more"] if unsaid else [])]
    err.print("\n  ".join(lines), style="red", markup=False, highlight=False, soft_wrap=True)
