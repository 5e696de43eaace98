"""Parquet files, read and written by DuckDB: it needs no other package, and 67 MB."""

from __future__ import annotations

import errno
import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from contract.files.shapes import Record
from contract.problems import refused_file
from contract.sentences import Sentence

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection
    from duckdb.sqltypes import DuckDBPyType

MAGIC = b"PAR1"
_ROWS_AT_ONCE = 100  # their texts may be long
_VALUE_BYTES = 8  # of a value that is no text, about
_SETTINGS: dict[str, str | bool | int | float | list[str]] = {
    "threads": 1,
    "memory_limit": "1GiB",
    "temp_directory": "",
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
}


def is_parquet(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def check_size(path: Path, most_bytes: int, most_rows: int) -> None:
    """Check that the rows are few and short enough to be read. A text that stands in all rows may
    be in the file once, so the texts are measured; that takes no memory for them.

    `path` is as in `parquet_records`.

    Raises:
        ProblemFileError: they are not, or the file is damaged.
    """
    import duckdb

    try:
        with _connected() as connection:
            rows = _number(connection, "num_rows", "parquet_file_metadata", path)
            if rows > most_rows:
                raise refused_file(too_many_rows(most_rows))
            size = _number(connection, "total_uncompressed_size", "parquet_metadata", path)
            if size <= most_bytes:
                size = _number(connection, _row_size(connection, path), "read_parquet", path)
            if size > most_bytes:
                raise refused_file(rows_too_large(most_bytes))
    except duckdb.Error as error:
        raise _unreadable(error) from None


def _number(connection: DuckDBPyConnection, what: str, table: str, path: Path) -> int:
    """The sum of a number in a table of DuckDB's about `path`."""
    query = f"SELECT coalesce(sum(({what})::HUGEINT), 0) FROM {table}(?)"
    (number,) = connection.execute(query, [str(path)]).fetchone() or (0,)
    return int(number)


def _row_size(connection: DuckDBPyConnection, path: Path) -> str:
    rows = connection.execute("SELECT * FROM read_parquet(?) LIMIT 0", [str(path)])
    columns = [(str(name), kind) for name, kind, *_ in rows.description or ()]
    return " + ".join(_size(_quoted(name), kind) for name, kind in columns)


def _size(value: str, kind: DuckDBPyType, depth: int = 0) -> str:
    """The SQL of a value's size in bytes. It makes no texts."""
    item = f"x{depth}"
    match kind.id:
        case "varchar":
            size = f"strlen({value})"
        case "blob":
            size = f"octet_length({value})"
        case "list" | "array":
            child = _members(kind)["child"]
            each = f"lambda {item}: ({_size(item, child, depth + 1)})::DOUBLE"
            size = f"list_sum(list_transform({value}, {each}))"
        case "map":
            entries = [(f"map_{name}s({value})", one) for name, one in _members(kind).items()]
            size = " + ".join(
                f"coalesce(list_sum(list_transform({made}, lambda {item}: "
                f"({_size(item, one, depth + 1)})::DOUBLE)), 0)"
                for made, one in entries
            )
        case "struct":
            size = " + ".join(
                _size(f"struct_extract({value}, {_text(name)})", one, depth)
                for name, one in _members(kind).items()
            )
        case _:
            return str(_VALUE_BYTES)
    return f"coalesce({size}, 0)"


def _members(kind: DuckDBPyType) -> dict[str, DuckDBPyType]:
    return {name: cast("DuckDBPyType", member) for name, member in kind.children}


def too_many_rows(most_rows: int) -> Sentence:
    return Sentence("too-many-rows", "has more than {limit} rows; split the file", limit=most_rows)


def rows_too_large(most_bytes: int) -> Sentence:
    return Sentence(
        "rows-too-large",
        "its rows are more than {limit} MiB; split the file",
        limit=most_bytes >> 20,
    )


def parquet_records(path: Path) -> Iterator[Record]:
    """The rows as JSON values. Dates and decimal numbers become text; bytes that are no text become
    null, and so do NaN and the infinities.

    `path` must hold no sign that has a meaning in file name patterns.

    Raises:
        ProblemFileError: the file is damaged.
    """
    import duckdb

    number = 0
    try:
        with _connected() as connection:
            rows = connection.execute("SELECT * FROM read_parquet(?)", [str(path)])
            names = [column[0] for column in rows.description or ()]
            while found := rows.fetchmany(_ROWS_AT_ONCE):
                for row in found:
                    number += 1
                    cells = zip(names, map(_in_json, row), strict=True)
                    yield Record(number, dict(cells))
    except (duckdb.Error, ValueError, OverflowError) as error:  # dates that Python does not have
        raise _unreadable(error) from None


def write_filled_parquet(
    source: Path, rows: Iterable[dict[str, Any]], folder: Path, target: Path
) -> None:
    """Write `source` again, with the values in `rows` in place of its own. `rows` has one mapping
    a row, with the same keys in each. Keys that are no columns, or that have a text where the
    column has none, become columns of texts.

    Raises:
        ProblemFileError: the file is damaged.
        OSError: the volume is full.
    """
    import duckdb

    values = folder / "values.jsonl"
    changed: list[str] = []
    texts: set[str] = set()
    with values.open("w", encoding="utf-8") as file:
        for row in rows:
            changed = changed or list(row)
            texts.update(name for name, value in row.items() if isinstance(value, str))
            file.write(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n")
    try:
        with _connected() as connection:
            described = connection.execute("DESCRIBE SELECT * FROM read_parquet(?)", [str(source)])
            types = {str(name): str(kind) for name, kind, *_ in described.fetchall()}
            read = {
                name: "VARCHAR" if name in texts else types.get(name, "VARCHAR") for name in changed
            }
            connection.execute(_copying(read, types, target), [str(source), str(values)])
    except duckdb.Error as error:
        for number in (errno.ENOSPC, errno.EDQUOT):
            if os.strerror(number) in str(error):
                raise OSError(number, os.strerror(number), str(target)) from None
        raise _unreadable(error) from None


def _copying(read: Mapping[str, str], types: Mapping[str, str], target: Path) -> str:
    """The statement that writes the table with the columns in `read`, which has their types."""
    kinds = ", ".join(f"{_text(name)}: {_text(kind)}" for name, kind in read.items())
    old = ", ".join(f"f.{_quoted(name)} AS {_quoted(name)}" for name in read if name in types)
    new = "".join(f", f.{_quoted(name)}" for name in read if name not in types)
    return (
        f"COPY (SELECT t.*{f' REPLACE ({old})' if old else ''}{new} "
        "FROM read_parquet(?) t POSITIONAL JOIN read_json(?, "
        f"format = 'newline_delimited', columns = {{{kinds}}}) f) "
        f"TO {_text(str(target))} (FORMAT parquet)"
    )


def _connected() -> DuckDBPyConnection:
    import duckdb

    return duckdb.connect(":memory:", config=_SETTINGS)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _in_json(value: Any) -> Any:
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, list | tuple):
        return [_in_json(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _in_json(item) for key, item in value.items()}
    if isinstance(value, bytes):
        try:
            return value.decode("utf-8")
        except UnicodeDecodeError:
            return None
    return str(value)


def _unreadable(error: Exception) -> Exception:
    return refused_file(
        Sentence(
            "parquet-unreadable",
            "is not readable as Parquet ({error}); write it again",
            error=str(error).splitlines()[0][:200],
        )
    )
