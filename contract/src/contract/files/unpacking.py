"""Packed files: gzip and zstd are unpacked; other archives and documents are refused by name.

What a file is, its first bytes decide, never its name.
"""

from __future__ import annotations

import gzip
import struct
import sys
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Literal, cast

from contract.problems import refused_file
from contract.sentences import Sentence

Packing = Literal["gzip", "zstd"]

_PIECE_BYTES = 1 << 20
_PACKED: dict[bytes, Packing] = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}
_UNPACK_IT = Sentence("unpack-it", "unpack it and send each file in it by itself")
_PACK_OTHERWISE = Sentence("pack-otherwise", "unpack it, or pack it with gzip or zstd")
_SAVE_AS_CSV = Sentence("save-as-csv", "save the sheet as CSV (UTF-8) and send that")
_SAVE_AS_TEXT = Sentence("save-as-text", "send the questions as JSON lines or CSV")
_WRITE_PARQUET = Sentence("write-parquet", "write it as Parquet or JSON lines and send that")
# What begins with these bytes, and what to do with it.
_OTHERS: tuple[tuple[bytes, str, Sentence], ...] = (
    (b"PK\x05\x06", "ZIP", _UNPACK_IT),
    (b"%PDF", "PDF", _SAVE_AS_TEXT),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "Microsoft Office (.xls, .doc)", _SAVE_AS_CSV),
    (b"BZh", "bzip2", _PACK_OTHERWISE),
    (b"\xfd7zXZ\x00", "xz", _PACK_OTHERWISE),
    (b"7z\xbc\xaf\x27\x1c", "7-Zip", _UNPACK_IT),
    (b"Rar!\x1a\x07", "RAR", _UNPACK_IT),
    (b"ARROW1\x00\x00", "Arrow (Feather)", _WRITE_PARQUET),
    (b"\xff\xff\xff\xff", "Arrow", _WRITE_PARQUET),
    (b"SQLite format 3\x00", "SQLite", _WRITE_PARQUET),
    (b"\x89HDF\r\n\x1a\n", "HDF5", _WRITE_PARQUET),
    (b"Obj\x01", "Avro", _WRITE_PARQUET),
    (b"\x89PNG", "PNG", _SAVE_AS_TEXT),
    (b"\xff\xd8\xff", "JPEG", _SAVE_AS_TEXT),
)
# What a ZIP file is that holds an entry of this name.
_OFFICE = {
    "xl/workbook.xml": ("Excel (.xlsx)", _SAVE_AS_CSV),
    "xl/workbook.bin": ("Excel (.xlsb)", _SAVE_AS_CSV),
    "word/document.xml": ("Word (.docx)", _SAVE_AS_TEXT),
    "content.xml": ("OpenDocument", _SAVE_AS_CSV),
}
_TAR_MAGIC, _TAR_OFFSET = b"ustar", 257


def packing_of(path: Path) -> Packing | None:
    """How a file is packed; None for a file that is not.

    Raises:
        ProblemFileError: the file is an archive or a document that is not read here.
    """
    with path.open("rb") as file:
        head = file.read(_TAR_OFFSET + len(_TAR_MAGIC))
    for magic, packing in _PACKED.items():
        if head.startswith(magic):
            return packing
    if head.startswith(b"PK\x03\x04"):
        raise refused_file(_not_read(*_kind_of_zip(path)))
    if head[_TAR_OFFSET:] == _TAR_MAGIC:
        raise refused_file(_not_read("tar", _UNPACK_IT))
    for magic, kind, advice in _OTHERS:
        if head.startswith(magic):
            raise refused_file(_not_read(kind, advice))
    return None


def unpack(source: Path, target: Path, packing: Packing, most_bytes: int) -> None:
    """Write what is in `source` to `target`, at most `most_bytes`.

    Raises:
        ProblemFileError: the archive is damaged, holds more than that, or holds another archive.
    """
    left = most_bytes
    with target.open("wb") as file:
        for piece in _pieces(source, packing):
            left -= len(piece)
            if left < 0:
                raise refused_file(
                    Sentence(
                        "unpacks-to-more",
                        "the {packing} file unpacks to more than {limit} MiB; split it",
                        packing=packing,
                        limit=most_bytes >> 20,
                    )
                )
            file.write(piece)
    if inner := packing_of(target):
        raise refused_file(
            Sentence(
                "packed-twice",
                "the {packing} file holds a {inner} file; unpack it once and send that",
                packing=packing,
                inner=inner,
            )
        )


def _pieces(source: Path, packing: Packing) -> Iterator[bytes]:
    opened, damage = _opener(packing)
    try:
        with source.open("rb") as packed, opened(packed) as file:
            while piece := file.read(_PIECE_BYTES):
                yield piece
    except EOFError:
        reason = Sentence(
            "archive-cut", "the {packing} file is cut off; send it again", packing=packing
        )
        raise refused_file(reason) from None
    except damage as error:
        reason = Sentence(
            "archive-damaged",
            "the {packing} file is damaged ({error}); pack it again",
            packing=packing,
            error=str(error),
        )
        raise refused_file(reason) from None


def _opener(
    packing: Packing,
) -> tuple[Callable[[BinaryIO], BinaryIO], tuple[type[Exception], ...]]:
    """What opens such a file, and the errors of a damaged one."""
    if packing == "gzip":
        return cast(Callable[[BinaryIO], BinaryIO], gzip.open), (gzip.BadGzipFile, zlib.error)
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    return cast(Callable[[BinaryIO], BinaryIO], zstd.open), (zstd.ZstdError,)


def _kind_of_zip(path: Path) -> tuple[str, Sentence]:
    try:
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
    except (zipfile.BadZipFile, struct.error, ValueError, NotImplementedError, OSError):
        names = set()
    found = (kind for name, kind in _OFFICE.items() if name in names)
    return next(found, ("ZIP", _UNPACK_IT))


def _not_read(kind: str, advice: Sentence) -> Sentence:
    return Sentence("file-kind", "is a file of the kind {kind}; {advice}", kind=kind, advice=advice)
