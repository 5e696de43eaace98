"""Parquet files, read and written by DuckDB: it needs no other package, and 67 MB."""

from __future__ import annotations

import errno
import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from contract.files.shapes import Record
from contract.problems import refused_file
from contract.sentences import Sentence

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

MAGIC = b"PAR1"
_ROWS_AT_ONCE = 100  # their texts may be long
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
