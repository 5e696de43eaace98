"""A posted file's contents: unpacked, and in UTF-8."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from contract.files.contents import Contents, contents_of
from contract.files.encodings import check_utf8, named_encoding, write_as_utf8
from contract.files.parquet import is_parquet
from contract.files.unpacking import Packing, packing_of, unpack

_BOM = b"\xef\xbb\xbf"


class Opened(NamedTuple):
    """`encoding` is "" for Parquet. `has_mark`: UTF-8 with a byte order mark. `size_bytes` is that
    of the file without its packing.
    """

    contents: Contents
    packing: Packing | None
    encoding: str
    has_mark: bool
    size_bytes: int


def open_file(
    source: Path,
    folder: Path,
    is_record: Callable[[Mapping[str, Any]], bool],
    *,
    encoding: str | None,
    most_bytes: int,
) -> Opened:
    """Recognize what `source` is and how it holds its records. What has to be unpacked or written
    in UTF-8 goes into `folder`, which the contents need until they are read.

    Raises:
        ProblemFileError: the file cannot be read.
    """
    path = source
    if packing := packing_of(source):
        path = folder / "unpacked"
        unpack(source, path, packing, most_bytes)
    size_bytes = path.stat().st_size
    if is_parquet(path):
        table = folder / "table.parquet"  # DuckDB reads names as patterns
        table.symlink_to(path.resolve())
        return Opened(contents_of(table, is_record), packing, "", False, size_bytes)
    name = named_encoding(encoding or "utf-8")
    has_mark = False
    if name == "utf-8":
        check_utf8(path)
        with path.open("rb") as file:
            has_mark = file.read(len(_BOM)) == _BOM
    else:
        write_as_utf8(path, folder / "utf-8", name)
        path = folder / "utf-8"
    return Opened(contents_of(path, is_record), packing, name, has_mark, size_bytes)
