"""JSON documents: an array of records, one object that holds such a list, or objects one after
another. A document is read whole, so it may not be large: Python needs 20 times the memory for
lists that are empty.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from contract.files.forms import Container, Form
from contract.files.jsonl import MAX_FAULTS_KEPT
from contract.files.shapes import Record, listed
from contract.problems import OBJECT, FileFault, ProblemFileError, must_be, refused_file
from contract.sentences import Sentence
from contract.strict_json import StrictJsonError, read_json

MOST_BYTES = 32 << 20
# A fault's place in a list of records: "[3].question", "examples[3].question".
_IN_A_LIST = re.compile(r"([^.\[\]]*)\[(\d+)\]\.?(.*)", re.DOTALL)
_INDENT = re.compile(r"[\[{]\s*\n( +|\t)")


class Document(NamedTuple):
    """A document's form, its records, and the object around them: {} if there is none."""

    form: Form
    records: list[Record | FileFault]
    around: dict[str, Any]


class _Value(NamedTuple):
    line: int
    value: Any


def read_document(path: Path, is_record: Callable[[Mapping[str, Any]], bool]) -> Document:
    """Read a JSON document. `is_record` is asked for a single object: it may be a record or hold
    the records.

    Raises:
        ProblemFileError: it is not JSON, or holds no records, or is larger than `MOST_BYTES`.
    """
    if path.stat().st_size > MOST_BYTES:
        raise refused_file(
            Sentence(
                "document-too-large",
                "a JSON document may have {limit} MiB at most; write JSON lines, one object a "
                "line, or split it",
                limit=MOST_BYTES >> 20,
            )
        )
    data = path.read_bytes().removeprefix(b"\xef\xbb\xbf")
    values = _values(data)
    if len(values) > 1:
        return _document("json-objects", data, values)
    value = values[0].value
    if isinstance(value, list):
        return _document("json-array", data, _numbered(value))
    alone: Container = "json-objects" if b"\n" in data.strip() else "json-lines"
    if not isinstance(value, dict) or is_record(value):
        return _document(alone, data, values)
    lists = [key for key, item in value.items() if _is_list_of_objects(item)]
    if len(lists) > 1:
        raise refused_file(
            Sentence(
                "several-lists",
                "the object holds several lists of records: {names}; send one of them by itself",
                names=listed(lists),
            )
        )
    if not lists:
        return _document(alone, data, values)
    (key,) = lists
    return _document("json-object", data, _numbered(value[key]), key, value)


def _document(
    container: Container,
    data: bytes,
    values: Iterable[_Value],
    key: str = "",
    around: dict[str, Any] | None = None,
) -> Document:
    is_pretty = _INDENT.match(data[:1000].decode("utf-8", "ignore").lstrip())
    indent = len(is_pretty[1].expandtabs(4)) if is_pretty else None
    form = Form(container=container, key=key, indent=indent)
    records = list(_records(values, form))
    if not records:
        reason = Sentence("empty-list", "the list of records is empty")
        raise refused_file(reason)
    return Document(form, records, around or {})


def _numbered(items: list[Any]) -> Iterator[_Value]:
    return (_Value(number, item) for number, item in enumerate(items, start=1))


def _records(values: Iterable[_Value], form: Form) -> Iterator[Record | FileFault]:
    """Only the first faults are told, so the last of them stands for all others."""
    faults: list[FileFault] = []
    for number, value in values:
        if isinstance(value, dict):
            yield Record(number, value)
            continue
        if len(faults) < MAX_FAULTS_KEPT:
            faults.append(FileFault(number, "", must_be(OBJECT, value), form.unit))
        yield faults[-1]


def _is_list_of_objects(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(one, dict) for one in value)


def _values(data: bytes) -> list[_Value]:
    try:
        return [_Value(1, read_json(data))]
    except StrictJsonError as error:
        pieces = _pieces(data)
        if len(pieces) < 2:
            faults = [_fault(*fault) for fault in error.faults]
            raise ProblemFileError(faults[:MAX_FAULTS_KEPT], len(faults)) from None
    faults = []
    values = []
    for line, piece in pieces:
        try:
            values.append(_Value(line, read_json(piece)))
        except StrictJsonError as error:
            faults += [
                FileFault(line + found.line - 1, found.place, found.reason)
                for found in error.faults
            ]
    if faults:
        raise ProblemFileError(faults[:MAX_FAULTS_KEPT], len(faults))
    return values


def _pieces(data: bytes) -> list[tuple[int, bytes]]:
    """The values that follow one another, each with the number of its first line. What cannot be
    read is the last piece.
    """
    text = data.decode("utf-8")
    decoder = json.JSONDecoder()
    pieces: list[tuple[int, bytes]] = []
    line, done, at = 1, 0, _skipped(text, 0)
    while at < len(text):
        try:
            _, end = decoder.raw_decode(text, at)
        except (ValueError, RecursionError):  # also a number that is too long for Python
            end = len(text)
        line += text.count("\n", done, at)
        pieces.append((line, text[at:end].encode("utf-8")))
        done, at = at, _skipped(text, end)
    return pieces


def _skipped(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \t\r\n":
        at += 1
    return at


def _fault(line: int, place: str, reason: Sentence) -> FileFault:
    if found := _IN_A_LIST.fullmatch(place):
        return FileFault(int(found[2]) + 1, found[3], reason, "row")
    return FileFault(line, place, reason)
