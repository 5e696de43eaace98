"""Packed files are unpacked within a limit; archives of other kinds are named."""

import gzip
import io
import tarfile
import zipfile
from pathlib import Path

import pytest
from backports import zstd

from contract import ProblemFileError
from contract.files.converting import MOST_FAULTS
from question_files import FLAT, MOST_BYTES, converted, csv_of, json_lines, problems, refusal

ROWS = json_lines(FLAT)


def zip_of(*names: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name in names:
            archive.writestr(name, "x")
    return file.getvalue()


def tar_of() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("a"))
    return file.getvalue()


@pytest.mark.parametrize("pack", [gzip.compress, zstd.compress])
def test_a_packed_file_gives_the_same_problems(tmp_path: Path, pack: object) -> None:
    assert callable(pack)
    found, read = converted(tmp_path, pack(ROWS))
    assert read == problems(tmp_path, ROWS)
    assert found is not None
    assert found.packed in ("gzip", "zstd")
    assert found.unpacked_bytes == len(ROWS)


def test_several_gzip_members_are_one_file(tmp_path: Path) -> None:
    data = b"".join(gzip.compress(line) for line in ROWS.splitlines(keepends=True))
    assert problems(tmp_path, data) == problems(tmp_path, ROWS)


@pytest.mark.parametrize("pack", [gzip.compress, zstd.compress])
def test_a_bomb_is_refused_at_the_limit(tmp_path: Path, pack: object) -> None:
    assert callable(pack)
    data = pack(b"\0" * (MOST_BYTES + 1))
    assert len(data) < 100_000
    assert "unpacks to more than 8 MiB" in refusal(tmp_path, data)


def test_a_bomb_of_faults_is_read_to_a_limit(tmp_path: Path) -> None:
    data = gzip.compress(json_lines(FLAT * 20) + b"{}\n" * 100_000)
    with pytest.raises(ProblemFileError) as caught:
        converted(tmp_path, data)
    assert (len(caught.value.faults), caught.value.total) == (20, MOST_FAULTS)
    rows = gzip.compress(json_lines(FLAT * 20) + b"{}\n" * 170_000)
    assert refusal(tmp_path, rows) == "has more than 167772 rows; split the file"


@pytest.mark.parametrize("pack", [gzip.compress, zstd.compress])
def test_a_cut_archive_is_refused(tmp_path: Path, pack: object) -> None:
    assert callable(pack)
    packed = pack(ROWS)
    for length in (6, len(packed) // 2, len(packed) - 1):
        said = refusal(tmp_path, packed[:length])
        assert "cut off" in said or "damaged" in said


@pytest.mark.parametrize("pack", [gzip.compress, zstd.compress])
def test_a_damaged_archive_is_refused(tmp_path: Path, pack: object) -> None:
    assert callable(pack)
    packed = bytearray(pack(ROWS))
    packed[len(packed) // 2] ^= 0xFF
    packed[-5] ^= 0xFF
    assert "damaged" in refusal(tmp_path, bytes(packed))


def test_an_archive_in_an_archive_is_refused(tmp_path: Path) -> None:
    said = refusal(tmp_path, gzip.compress(zstd.compress(ROWS)))
    assert said == "the gzip file holds a zstd file; unpack it once and send that"
    assert "tar" in refusal(tmp_path, gzip.compress(tar_of()))


@pytest.mark.parametrize(
    ("data", "kind", "advice"),
    [
        (zip_of("a.csv"), "ZIP", "unpack it"),
        (zip_of(), "ZIP", "unpack it"),
        (
            zip_of("[Content_Types].xml", "xl/workbook.xml"),
            "Excel (.xlsx)",
            "save the sheet as CSV",
        ),
        (zip_of("word/document.xml"), "Word (.docx)", "as JSON lines or CSV"),
        (b"PK\x03\x04 cut", "ZIP", "unpack it"),
        (b"%PDF-1.7\n", "PDF", "as JSON lines or CSV"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "(.xls, .doc)", "as CSV"),
        (b"BZh91AY", "bzip2", "gzip or zstd"),
        (b"\xfd7zXZ\x00\x00", "xz", "gzip or zstd"),
        (tar_of(), "tar", "unpack it"),
        (b"SQLite format 3\x00", "SQLite", "as Parquet"),
    ],
)
def test_other_kinds_are_named(tmp_path: Path, data: bytes, kind: str, advice: str) -> None:
    said = refusal(tmp_path, data)
    assert kind in said
    assert advice in said


def test_a_files_name_does_not_matter(tmp_path: Path) -> None:
    table = csv_of([["question", "A", "B", "answer"], ["q", "x", "y", "A"]])
    assert len(problems(tmp_path, gzip.compress(table))) == 1
