"""Any bytes are converted or refused with faults, and every container gives the same problems."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
from hypothesis import given, settings
from hypothesis import strategies as st

from contract import ProblemFileError, parse_problems
from contract.files.converting import convert
from contract.files.filling import write_filled
from contract.files.jsonl import MAX_FAULTS_KEPT
from contract.files.shapes import Reading
from damage import FUZZED, damaged
from question_files import MOST_BYTES, csv_of, json_lines, questions

# what a text cannot hold in every container: surrogates, NUL, and blank texts
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), min_size=1, max_size=8)
WORDS = TEXTS.map(str.strip).filter(lambda text: len(text) > 1 and not text.startswith("\ufeff"))


@st.composite
def rows(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Flat rows whose keys are letters."""
    count = draw(st.integers(2, 5))
    options = st.lists(WORDS, min_size=count, max_size=count, unique=True)
    keys = st.sampled_from("ABCDE"[:count])
    one = st.fixed_dictionaries({"question": WORDS, "options": options, "answer": keys})
    return draw(st.lists(one, min_size=1, max_size=4))


def table(found: list[dict[str, Any]], delimiter: str = ",") -> bytes:
    letters = "ABCDE"[: len(found[0]["options"])]
    cells = [[row["question"], *row["options"], row["answer"]] for row in found]
    return csv_of([["question", *letters, "answer"], *cells], delimiter)


def parquet(found: list[dict[str, Any]]) -> bytes:
    with TemporaryDirectory() as name:
        source, target = Path(name) / "rows.json", Path(name) / "rows.parquet"
        source.write_bytes(json_lines(found))
        kinds = "{question: 'VARCHAR', options: 'VARCHAR[]', answer: 'VARCHAR'}"
        duckdb.execute(
            f"COPY (FROM read_json('{source}', format = 'nd', columns = {kinds})) "
            f"TO '{target}' (FORMAT parquet)"
        )
        return target.read_bytes()


@settings(FUZZED, max_examples=FUZZED.max_examples // 8)  # each writes a Parquet file
@given(rows(), st.sampled_from([None, 2]), st.sampled_from(",\t;"))
def test_every_container_gives_the_same_problems(
    found: list[dict[str, Any]], indent: int | None, delimiter: str
) -> None:
    array = json.dumps(found, ensure_ascii=False, indent=indent).encode()
    files = [
        json_lines(found),
        array,
        gzip.compress(array),
        table(found, delimiter),
        parquet(found),
    ]
    with TemporaryDirectory() as name:
        read = [questions(Path(name), data) for data in files]
    assert read == [read[0]] * len(files)
    assert [key for *_, key in read[0]] == [row["answer"] for row in found]


def check_faults(error: ProblemFileError) -> None:
    assert 1 <= len(error.faults) <= MAX_FAULTS_KEPT
    assert error.total >= len(error.faults)
    assert all(len(str(fault).encode()) < 3000 for fault in error.faults)


FILES = st.one_of(
    rows().map(json_lines),
    rows().map(table),
    rows().map(lambda found: json.dumps({"data": found}, indent=1).encode()),
    rows().map(lambda found: gzip.compress(json_lines(found))),
    rows().map(parquet),
    rows().map(lambda found: table(found).decode().encode("gb18030")),
    st.just(b"\nb\ntext\nquestion?\nA.x\nB.y\nC.z\nD.w\n"),
)
READINGS = st.builds(
    Reading,
    encoding=st.sampled_from([None, None, "gbk", "utf-16"]),
    shape=st.sampled_from([None, None, "flat", "quorum", "bbh", "logiqa1", "arc"]),
    index_base=st.sampled_from([None, 0, 1]),
)


@FUZZED
@given(damaged(FILES), READINGS)
def test_damaged_files_are_converted_or_refused(data: bytes, reading: Reading) -> None:
    with TemporaryDirectory() as name:
        source, target = Path(name) / "posted", Path(name) / "rows.jsonl"
        source.write_bytes(data)
        try:
            found = convert(source, target, reading, most_bytes=MOST_BYTES)
        except ProblemFileError as error:
            check_faults(error)
            found = None
        if found is None:
            assert not target.exists()
            return
        read = parse_problems(target.read_bytes())
        assert len(read) == found.records
        answers = [[question.answer for question in problem.questions] for problem in read]
        with (Path(name) / "filled").open("wb") as file:
            write_filled(source, found, iter(answers), file)
