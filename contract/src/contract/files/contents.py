"""A file's records, whatever holds them: JSON lines, a JSON document, a table, Parquet or a text.

The file is UTF-8 by now, and not packed. JSON lines, tables, texts and Parquet are read anew each
time that they are asked for; a document's records are kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

from contract.files.documents import read_document
from contract.files.forms import Form
from contract.files.jsonl import MAX_LINE_BYTES, read_lines, read_row
from contract.files.logiqa_text import looks_like, records_of
from contract.files.parquet import is_parquet, parquet_records
from contract.files.shapes import Record
from contract.files.tables import table_form, table_records
from contract.problems import FileFault, refused_file
from contract.sentences import Sentence
from contract.strict_json import StrictJsonError, read_json

_BOM = b"\xef\xbb\xbf"
_LINES_TRIED = 50
_HEAD_BYTES = 1 << 16


@dataclass(frozen=True)
class Contents:
    """`around` is the JSON object that holds the list of records, {} if there is none."""

    path: Path
    form: Form
    kept: Sequence[Record | FileFault] = ()
    around: Mapping[str, Any] = field(default_factory=dict)

    def records(self) -> Iterator[Record | FileFault]:
        """The records in order, and the faults where there should be one.

        Raises:
            ProblemFileError: the rest of the file cannot be read.
        """
        match self.form.container:
            case "json-lines":
                return _line_records(self.path)
            case "table":
                return table_records(self.path, self.form)
            case "parquet":
                return parquet_records(self.path)
            case "text":
                return records_of(_lines(self.path))
            case _:
                return iter(self.kept)


def contents_of(path: Path, is_record: Callable[[Mapping[str, Any]], bool]) -> Contents:
    """Recognize how a file holds its records.

    Raises:
        ProblemFileError: it is empty, or is in no form that is read here, or not JSON.
    """
    if is_parquet(path):
        return Contents(path, Form(container="parquet"))
    head = _begin(path)
    if not head:
        raise refused_file(Sentence("file-without-rows", "the file is empty"))
    if head[:1] in (b"{", b"["):
        if _is_json_lines(path):
            return Contents(path, Form(container="json-lines"))
        form, records, around = read_document(path, is_record)
        return Contents(path, form, () if form.container == "json-lines" else records, around)
    return _text_contents(path)


def _begin(path: Path) -> bytes:
    """The first bytes that are no space; empty if there are none."""
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES).removeprefix(_BOM).lstrip()
        while not head and (block := file.read(_HEAD_BYTES)):
            head = block.lstrip()
    return head


def _text_contents(path: Path) -> Contents:
    if looks_like([*islice(_lines(path), _LINES_TRIED)]):
        return Contents(path, Form(container="text"))
    if form := table_form(path):
        return Contents(path, form)
    reason = Sentence(
        "no-form",
        "is neither JSON nor a table: send JSON lines, a JSON array, CSV, TSV or Parquet",
    )
    raise refused_file(reason)


def _is_json_lines(path: Path) -> bool:
    """True if a line near the begin is an object by itself, and is not the only one. In an array
    with a row on each line, that may be its last row.
    """
    seen = whole = 0
    with path.open("rb") as file:
        while seen < _LINES_TRIED and (line := file.readline(MAX_LINE_BYTES)):
            line = line.removeprefix(_BOM) if not seen else line
            if not line.strip():
                continue
            seen += 1
            if seen == 1 and _opens_array(line):
                return False
            whole += line.startswith(b"{") and _is_object(line)
    return whole > 0 and seen > 1


def _opens_array(line: bytes) -> bool:
    """True if a line begins an array that goes on below."""
    if not line.lstrip().startswith(b"["):
        return False
    try:
        read_json(line)
    except StrictJsonError:
        return True
    return False


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(read_json(line), dict)
    except StrictJsonError:
        return False


def _line_records(path: Path) -> Iterator[Record | FileFault]:
    with path.open("rb") as file:
        for number, line in enumerate(read_lines(file), start=1):
            bare = line.removeprefix(_BOM) if number == 1 else line
            if not bare.strip():
                continue
            found = read_row(bare, number)
            if isinstance(found, dict):
                yield Record(number, found)
            else:
                yield from found


def _lines(path: Path) -> Iterator[str]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        for line in file:
            yield line.rstrip("\r\n")
