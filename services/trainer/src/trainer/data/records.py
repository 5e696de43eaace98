"""The rows of a training file that holds chats: the objects of a JSON array, or of JSON Lines."""

from __future__ import annotations

from typing import Any

from contract import StrictJsonError, read_json
from contract.files.chats import chat_shape
from contract.files.shapes import Record

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class RowsUnreadableError(ValueError):
    """A file of chats has a row that is no JSON, or none that is a chat."""


def chats_in(data: bytes) -> list[Record] | None:
    """All rows of a file whose first object is a row of a chat; None if it is not.

    Raises:
        RowsUnreadableError: with the place and the reason.
    """
    bare = data.removeprefix(_BYTE_ORDER_MARK)
    return _in_array(bare) if bare.lstrip().startswith(b"[") else _in_lines(bare)


def _in_array(data: bytes) -> list[Record]:
    try:
        rows = read_json(data)
    except StrictJsonError as error:
        raise RowsUnreadableError(str(error)) from error
    records = [_record(number, row) for number, row in enumerate(rows, start=1)]
    if not any(chat_shape(record.values) for record in records):
        raise RowsUnreadableError(
            "no row of the list has instruction and output, conversations or messages; write "
            "problems as JSON Lines, one a line"
        )
    return records


def _in_lines(data: bytes) -> list[Record] | None:
    records: list[Record] = []
    for number, line in enumerate(data.split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            row = read_json(line.rstrip(b"\r"))
        except StrictJsonError as error:
            if not records:
                return None
            place = "".join(f"{fault.place}: " for fault in error.faults[:1] if fault.place)
            reason = error.faults[0].reason
            raise RowsUnreadableError(f"line {number}: {place}{reason}") from error
        if not records and not (isinstance(row, dict) and chat_shape(row)):
            return None
        records.append(_record(number, row))
    return records or None


def _record(number: int, row: Any) -> Record:
    return Record(number, row if isinstance(row, dict) else {})
