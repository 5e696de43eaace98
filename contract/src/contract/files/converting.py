"""Any file with questions becomes our rows in JSON lines."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pydantic import BaseModel, ConfigDict

from contract.files.contents import Contents
from contract.files.forms import Form, told_together
from contract.files.jsonl import MAX_FAULTS_KEPT, repeated_id
from contract.files.known import OURS
from contract.files.opening import Opened, open_file
from contract.files.parquet import check_size, rows_too_large
from contract.files.recognizing import is_record, shape_of
from contract.files.shapes import Reading, Record, RowFaultsError, Shape, ShapeError, Survey
from contract.files.surveying import can_be, counted, misfit, survey_of
from contract.files.unpacking import Packing
from contract.problems import FaultUnit, FileFault, ProblemFileError, problem_of, refused_file
from contract.sentences import CodedMessage, Sentence
from contract.strict_json import read_json, write_json

_FIRST_RECORDS = 20
# A row of ours is longer, so a file of more rows than fit could not be taken anyway.
_LEAST_ROW_BYTES = 50
# Reading stops here: a small archive can hold millions of faults.
MOST_FAULTS = 10_000
_IDS_OF_LINES = Sentence(
    "ids-of-lines", "ids repeat or are missing in part, so the ids are the numbers of lines"
)
_IDS_OF_ROWS = Sentence(
    "ids-of-rows", "ids repeat or are missing in part, so the ids are the numbers of rows"
)


class Recognized(BaseModel):
    """What a file was recognized as; it is kept with the job, so that answers can be written back.

    `container` and `encoding` are what people call them ("table", "gbk"); `form` has the details.
    `columns` maps our names to the file's, for flat rows. `unpacked_bytes` is the file's size
    without its packing. `statement` says all of it in one line.
    """

    model_config = ConfigDict(frozen=True)

    shape: str
    container: str
    form: Form
    encoding: str
    has_mark: bool = False
    packed: Packing | None = None
    unpacked_bytes: int
    columns: dict[str, str] = {}
    survey: dict[str, Any] = {}
    records: int
    statement: CodedMessage


def convert(source: Path, target: Path, reading: Reading, *, most_bytes: int) -> Recognized | None:
    """Write the problems in `source` to `target`, as our rows in JSON lines. None, and no target,
    if that is what `source` is: its rows are not checked here.

    An archive may unpack to `most_bytes`, and the rows of a Parquet file may be as long.

    Raises:
        ProblemFileError: with the line or row, place and reason of the first 20 faults, and the
            number of faults among the first `MOST_FAULTS`. There is no target then.
    """
    with TemporaryDirectory(dir=target.parent) as name:
        opened = open_file(
            source, Path(name), is_record, encoding=reading.encoding, most_bytes=most_bytes
        )
        return convert_opened(opened, target, reading, most_bytes=most_bytes)


def convert_opened(
    opened: Opened, target: Path, reading: Reading, *, most_bytes: int
) -> Recognized | None:
    """The same for a file that is open already."""
    with TemporaryDirectory(dir=target.parent) as name, _shape_errors_as_faults():
        contents = opened.contents
        most_rows = most_bytes // _LEAST_ROW_BYTES
        if contents.form.container == "parquet":
            check_size(contents.path, most_bytes, most_rows)
        shape = shape_of(_first_records(contents), reading, contents.form.container)
        is_ours = shape is OURS and contents.form.container == "json-lines"
        if is_ours and not opened.packing and opened.encoding == "utf-8":
            return None
        survey = survey_of(contents, shape, reading, most_rows)
        written = Path(name) / "rows.jsonl"
        most = most_bytes if contents.form.container == "parquet" else None
        conversion = _Conversion(contents, shape, survey, most, most_rows)
        count = conversion.write(written)
        written.replace(target)
    return _recognized(opened, shape, survey, count, gave_up_ids=conversion.gave_up_ids)


def _first_records(contents: Contents) -> list[Record]:
    """The first records.

    Raises:
        ProblemFileError: there are none, but faults or nothing.
    """
    faults: list[FileFault] = []
    records: list[Record] = []
    for found in islice(contents.records(), _FIRST_RECORDS):
        if isinstance(found, Record):
            records.append(found)
        else:
            faults.append(found)
    if records:
        return records
    if not faults:
        raise refused_file(Sentence("no-records", "the file has no rows"))
    rest = (found for found in contents.records() if not isinstance(found, Record))
    total = sum(1 for _ in islice(rest, MOST_FAULTS))
    raise ProblemFileError(faults, total, stopped=total == MOST_FAULTS)


class _Conversion:
    """Writes the rows of one file. Ids are the records' own if all are there and differ, else the
    records' numbers. Our own rows keep theirs, and a repeated one is a fault.
    """

    def __init__(
        self,
        contents: Contents,
        shape: Shape,
        survey: Survey,
        most_bytes: int | None,
        most_rows: int,
    ) -> None:
        self._contents, self._shape, self._survey = contents, shape, survey
        self._most_bytes, self._most_rows = most_bytes, most_rows
        self._faults: list[FileFault] = []
        self._total = 0
        self._number_of_id: dict[str, int] = {}
        self._ids_are_own = True
        self._own_are_written = False
        self.gave_up_ids = False

    def write(self, target: Path) -> int:
        """Returns the number of rows.

        Raises:
            ProblemFileError: with the first faults, and their number.
        """
        numbers = array("q")
        size = 0
        with target.open("wb") as file:
            for record in self._records():
                row = self._row(record)
                if row is None:
                    continue
                line = write_json(row).encode("utf-8") + b"\n"
                size += len(line)
                if self._most_bytes is not None and size > self._most_bytes:
                    raise refused_file(rows_too_large(self._most_bytes))
                file.write(line)
                numbers.append(record.number)
        if self._faults:
            stopped = self._total >= MOST_FAULTS
            raise ProblemFileError(self._faults, self._total, stopped=stopped)
        if self._own_are_written:
            _write_numbers(target, numbers)
        return len(numbers)

    def _records(self) -> Iterator[Record]:
        for found in counted(self._contents, self._most_rows):
            if isinstance(found, Record):
                yield found
            else:
                self._add([found])
            if self._total >= MOST_FAULTS:
                return

    def _row(self, record: Record) -> dict[str, Any] | None:
        """The record's row with an id; None if it has faults."""
        number, unit = record.number, self._contents.form.unit
        if not can_be(self._shape, record):
            self._add([FileFault(number, "", misfit(record, self._shape), unit)])
            return None
        try:
            row = self._shape.row(record, self._survey)
        except RowFaultsError as error:
            self._add([FileFault(number, *fault, unit) for fault in error.faults])
            return None
        row = self._with_id(row, number)
        found = problem_of(dict(row), number, 0)
        if isinstance(found, list):
            self._add([fault._replace(unit=unit, place=self._place(fault, row)) for fault in found])
            return None
        earlier = self._number_of_id.setdefault(found.id, number)
        if earlier != number:
            self._add([FileFault(number, "id", _repeated(found.id, earlier, unit), unit)])
            return None
        return row

    def _with_id(self, row: dict[str, Any], number: int) -> dict[str, Any]:
        if self._shape is OURS:
            return row if "id" in row else {"id": str(number), **row}
        own = row.get("id")
        if self._ids_are_own:
            if own is not None and str(own) not in self._number_of_id:
                return {"id": own, **row}
            self._ids_are_own = False
            self._own_are_written = bool(self._number_of_id)
            self._number_of_id.clear()
            self.gave_up_ids = self._own_are_written
        self.gave_up_ids = self.gave_up_ids or own is not None
        return {**row, "id": str(number)} if "id" in row else {"id": str(number), **row}

    def _place(self, fault: FileFault, row: dict[str, Any]) -> str:
        place = self._shape.place
        return place(fault.place, row, self._survey) if place else fault.place

    def _add(self, faults: list[FileFault]) -> None:
        self._total += len(faults)
        self._faults += faults[: MAX_FAULTS_KEPT - len(self._faults)]


def _repeated(id: str, earlier: int, unit: FaultUnit) -> Sentence:
    if unit == "line":
        return repeated_id(id, earlier)
    return Sentence(
        "repeated-id-of-row",
        "{id!r} is the id of row {row} too; ids must differ",
        id=id,
        row=earlier,
    )


def _write_numbers(path: Path, numbers: Sequence[int]) -> None:
    """Give each row the number of its record as its id."""
    again = path.with_suffix(".numbered")
    with path.open("rb") as read, again.open("wb") as written:
        for number, line in zip(numbers, read, strict=True):
            row = read_json(line)
            row.pop("id", None)
            row = {"id": str(number), **row}
            written.write(write_json(row).encode("utf-8") + b"\n")
    again.replace(path)


@contextmanager
def _shape_errors_as_faults() -> Iterator[None]:
    try:
        yield
    except ShapeError as error:
        raise refused_file(error.sentence) from None


def _recognized(
    opened: Opened, shape: Shape, survey: Survey, count: int, *, gave_up_ids: bool
) -> Recognized:
    return Recognized(
        shape=shape.name,
        container=opened.contents.form.container,
        form=opened.contents.form,
        encoding=opened.encoding,
        has_mark=opened.has_mark,
        packed=opened.packing,
        unpacked_bytes=opened.size_bytes,
        columns=survey.get("columns", {}),
        survey=survey,
        records=count,
        statement=_statement(opened, shape, survey, gave_up_ids=gave_up_ids).message(),
    )


def _statement(opened: Opened, shape: Shape, survey: Survey, *, gave_up_ids: bool) -> Sentence:
    form = opened.contents.form.named()
    if opened.encoding not in ("", "utf-8"):
        form = told_together(
            form, Sentence("encoding-named", "{name}", name=opened.encoding.upper())
        )
    if opened.packing:
        form = told_together(form, Sentence("packed-with", "{packing}", packing=opened.packing))
    how = shape.told(survey) if shape.told else shape.about
    if gave_up_ids:
        ids = _IDS_OF_ROWS if opened.contents.form.unit == "row" else _IDS_OF_LINES
        how = told_together(how, ids)
    return Sentence(
        "read-as",
        "read as {shape} rows ({form}): {how}",
        shape=shape.name,
        form=form,
        how=how,
    )
