"""Parquet files of question rows, as pandas, polars and the datasets hub write them."""

from pathlib import Path

import duckdb
import pytest

from contract import ProblemFileError
from contract.files.parquet import check_size, write_filled_parquet
from question_files import MOST_BYTES, converted, faults, questions, refusal


def parquet(folder: Path, select: str) -> bytes:
    path = folder.parent / f"{folder.name}.parquet"
    duckdb.execute(f"COPY ({select}) TO '{path}' (FORMAT parquet)")
    return path.read_bytes()


def test_lists_and_numbers_are_read(tmp_path: Path) -> None:
    data = parquet(
        tmp_path,
        "SELECT 'q' || i AS question, ['a', 'b', 'c'] AS choices, (i % 3)::BIGINT AS answer, "
        "now() AS at, 1.5::DECIMAL(4, 2) AS score, '\\xFF'::BLOB AS image FROM range(250) r(i)",
    )
    found, read = converted(tmp_path, data)
    assert found is not None
    assert found.container == "parquet"
    assert found.records == 250
    assert found.statement.text == (
        "read as flat rows (Parquet): question from question, options from choices, "
        "answer from answer, numbers from 0"
    )
    assert [problem.questions[0].answer for problem in read[:4]] == ["A", "B", "C", "A"]
    assert [problem.id for problem in read[:2]] == ["1", "2"]


def test_nested_columns_are_read(tmp_path: Path) -> None:
    data = parquet(
        tmp_path,
        "SELECT 'x1' AS id, 'q' AS question, {'text': ['a', 'b'], 'label': ['A', 'B']} AS choices, "
        "'B' AS answerKey",
    )
    found, _ = converted(tmp_path, data)
    assert found is not None
    assert found.shape == "arc"
    assert questions(tmp_path, data) == [("q", ["a", "b"], "B")]


def test_faults_name_the_row(tmp_path: Path) -> None:
    data = parquet(
        tmp_path,
        "SELECT CASE i WHEN 1 THEN NULL ELSE 'q' END AS question, 'x' AS A, 'y' AS B "
        "FROM range(3) r(i)",
    )
    (fault,) = faults(tmp_path, data)
    assert str(fault) == "row 2, question: is empty; it must be a text"


def test_a_cut_file_is_refused(tmp_path: Path) -> None:
    data = parquet(tmp_path, "SELECT 'q' AS question, 'x' AS A, 'y' AS B")
    for length in (4, 20, len(data) - 1):
        assert "is not readable as Parquet" in refusal(tmp_path, data[:length])


def test_rows_that_unpack_to_too_much_are_refused(tmp_path: Path) -> None:
    data = parquet(
        tmp_path,
        "SELECT repeat('q', 100000) AS question, 'x' AS A, 'y' AS B FROM range(200)",
    )
    assert len(data) < 200_000
    assert "more than 8 MiB" in refusal(tmp_path, data)


@pytest.mark.parametrize(
    "columns",
    [
        "repeat('q', 100000) AS question, 'x' AS A, 'y' AS B",
        "'q' AS question, [repeat('x', 100000), 'y'] AS options",
        "'q' AS question, {'text': ['x', repeat('y', 100000)], 'label': ['A', 'B']} AS choices",
        "'q' AS question, 'x' AS A, 'y' AS B, MAP {'k': repeat('z', 100000)} AS more",
        "'q' AS question, 'x' AS A, 'y' AS B, [[{'k': repeat('z', 100000)}]] AS more",
        "'q' AS question, 'x' AS A, 'y' AS B, repeat('z', 100000)::BLOB AS more",
    ],
)
def test_long_texts_that_a_file_holds_once_are_measured(tmp_path: Path, columns: str) -> None:
    path = tmp_path / "x.parquet"
    for rows, is_read in ((60, True), (100, False)):
        path.write_bytes(parquet(tmp_path, f"SELECT {columns} FROM range({rows})"))
        if is_read:
            check_size(path, MOST_BYTES, 1000)
            continue
        with pytest.raises(ProblemFileError, match="more than 8 MiB"):
            check_size(path, MOST_BYTES, 1000)


def test_more_rows_than_could_be_taken_are_refused(tmp_path: Path) -> None:
    data = parquet(tmp_path, "SELECT '' AS question, 'x' AS A, 'y' AS B FROM range(170000)")
    assert len(data) < 20_000
    assert refusal(tmp_path, data) == "has more than 167772 rows; split the file"


def test_the_name_of_a_parquet_file_is_no_pattern(tmp_path: Path) -> None:
    folder = tmp_path / "a[b]*?"
    folder.mkdir()
    data = parquet(tmp_path, "SELECT 'q' AS question, 'x' AS A, 'y' AS B")
    assert len(questions(folder, data)) == 1


def test_a_full_volume_is_not_taken_for_a_damaged_file(tmp_path: Path) -> None:
    source = tmp_path / "posted"
    source.write_bytes(parquet(tmp_path, "SELECT 'q' AS question, 'x' AS A, 'y' AS B"))
    with pytest.raises(OSError, match="No space left"):
        write_filled_parquet(source, [{"answer": "A"}], tmp_path, Path("/dev/full"))
