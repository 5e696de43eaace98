"""Training files, whatever holds their rows: chats, or problems in any shape that is answered."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from contract import Problem, ProblemFileError, parse_problems
from contract.files.chats import chat_shape
from contract.files.contents import Contents
from contract.files.converting import convert_opened
from contract.files.opening import open_file
from contract.files.recognizing import is_record
from contract.files.shapes import Reading, Record
from contract.problems import FileFault
from trainer.errors import TrainerError

MOST_BYTES = 4 << 30  # of a packed file, unpacked
_FIRST_ROWS = 20


class TrainingFile(NamedTuple):
    """A file holds `chats` or `problems`. `statement` says how problems of another shape than our
    own JSON Lines were read; else it is "".
    """

    chats: list[Record]
    problems: list[Problem]
    statement: str = ""


def read_training_file(path: Path, reading: Reading) -> TrainingFile:
    """Recognize and read a file. It holds chats if most of its first rows do.

    Raises:
        TrainerError: it cannot be read, with the first place and reason.
    """
    with TemporaryDirectory() as name, _errors_of(path):
        folder = Path(name)
        opened = open_file(
            path, folder, is_record, encoding=reading.encoding, most_bytes=MOST_BYTES
        )
        if reading.shape is None and not reading.columns and _holds_chats(opened.contents):
            return TrainingFile(_rows(opened.contents), [])
        target = folder / "problems.jsonl"
        recognized = convert_opened(opened, target, reading, most_bytes=MOST_BYTES)
        if recognized is None:
            return TrainingFile([], parse_problems(path.read_bytes()))
        problems = parse_problems(target.read_bytes())
        return TrainingFile([], problems, recognized.statement.text)


def _holds_chats(contents: Contents) -> bool:
    first = islice(contents.records(), _FIRST_ROWS)
    shapes = [chat_shape(row.values) for row in first if isinstance(row, Record)]
    return 2 * shapes.count(None) < len(shapes)


def _rows(contents: Contents) -> list[Record]:
    """All rows; one that is JSON but no object has no values.

    Raises:
        ProblemFileError: some lines are not JSON.
    """
    rows: list[Record] = []
    faults: list[FileFault] = []
    for found in contents.records():
        if isinstance(found, Record):
            rows.append(found)
        elif found.unit == "row":
            rows.append(Record(found.line, {}))
        else:
            faults.append(found)
    if faults:
        raise ProblemFileError(faults, len(faults))
    return rows


@contextmanager
def _errors_of(path: Path) -> Iterator[None]:
    try:
        yield
    except ProblemFileError as error:
        raise TrainerError(f"{path}: {error}") from error
    except ModuleNotFoundError as error:
        raise TrainerError(
            f"{path}: there is no module {error.name} here: install the packages backports.zstd "
            "(for zstd) and duckdb (for Parquet), or write the file as JSON Lines with `quorum "
            "convert`"
        ) from error
