"""`quorum local demo` reads its file like a posted one. Training and serving: tests/e2e."""

from __future__ import annotations

import gzip
import os
import subprocess
import sys
from io import StringIO
from pathlib import Path

import duckdb
import pytest
from rich.console import Console

from contract import parse_problems
from contract.files.shapes import Reading
from orchestrator.cli.client import ApiError
from orchestrator.cli.demo import rows_of
from orchestrator.cli.job_options import FURTHER
from orchestrator.cli.reading_options import form_of, reading_of

MOST_BYTES = 1 << 20
TABLE = "question,A,B,answer\nWhich is hot?,ice,fire,B\n"


def read(file: Path, folder: Path, **how: str) -> tuple[Path, str]:
    out = StringIO()
    console = Console(file=out, width=40)
    return rows_of(file, folder, Reading(**how), MOST_BYTES, console), out.getvalue()


@pytest.mark.parametrize("kind", ["csv", "csv.gz", "parquet"])
def test_a_file_of_any_kind_becomes_our_rows(tmp_path: Path, kind: str) -> None:
    file, folder = tmp_path / f"file.{kind}", tmp_path / "rows"
    folder.mkdir()
    if kind == "parquet":
        (tmp_path / "file.csv").write_text(TABLE)
        select = f"FROM read_csv('{tmp_path}/file.csv', all_varchar=true)"
        duckdb.execute(f"COPY ({select}) TO '{file}' (FORMAT parquet)")
    else:
        file.write_bytes(gzip.compress(TABLE.encode()) if kind == "csv.gz" else TABLE.encode())
    rows, said = read(file, folder)
    ((question,),) = (problem.questions for problem in parse_problems(rows.read_bytes()))
    assert (question.options, question.answer) == (("ice", "fire"), "B")
    assert said.startswith(f"{file}: read as flat rows (")
    assert len(said.splitlines()) == 1


def test_our_own_rows_are_taken_as_they_are(tmp_path: Path) -> None:
    file = tmp_path / "ours.jsonl"
    file.write_text('{"problem": "p", "questions": [{"question": "q", "options": ["x", "y"]}]}\n')
    assert read(file, tmp_path) == (file, "")


def test_a_file_over_the_apis_limit_is_refused_before_training(tmp_path: Path) -> None:
    file = tmp_path / "large.csv"
    file.write_text(TABLE + "q,x,y,A\n" * (MOST_BYTES // 8))
    with pytest.raises(ApiError, match=r"large\.csv is refused:\n.*1 MiB"):
        read(file, tmp_path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ApiError, match=r"cannot read .*none\.csv: No such file"):
        read(tmp_path / "none.csv", tmp_path)


def test_options_are_posted_as_the_fields_of_a_job() -> None:
    reading = reading_of("flat", "gbk", ["question=题 干", "answer=正确"], 0)
    assert form_of(reading) == {
        "shape": "flat",
        "encoding": "gbk",
        "columns": "question=题 干 answer=正确",
        "index_base": 0,
    }
    assert set(form_of(Reading()).values()) == {None}
    assert set(form_of(reading)) < set(FURTHER)  # as quorum submit names them


def demo(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "orchestrator.cli", "local", "demo", *arguments],
        cwd=folder,
        env={**os.environ, "STACK": "cpu"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 1, (done.stdout, done.stderr)
    return done.stdout


def test_the_command_prints_faults_and_takes_the_options_of_submit(tmp_path: Path) -> None:
    (tmp_path / "bad.csv").write_text("question,A,B,answer\nq,x,y,A\n,x,y,A\nq,x,y,C\n")
    first, *faults = demo(tmp_path, "--file", "bad.csv").splitlines()
    assert first.endswith("bad.csv is refused:")
    assert [line.partition(",")[0].strip() for line in faults] == ["line 3", "line 4"]
    (tmp_path / "exam.csv").write_bytes("题干,甲,乙,对\n首都？,北京,上海,1\n".encode("gbk"))
    assert "send it with encoding=gbk" in demo(tmp_path, "--file", "exam.csv")
    options = ["--encoding", "gbk", "--index-base", "1"]
    columns = ["--map", "question=题干", "A=甲", "B=乙", "answer=对"]
    said = demo(tmp_path, "--file", "exam.csv", *options, *columns)
    assert "answer from 对, numbers from 1" in said
    assert "recipe failed: there is no file" in said  # the next step: no recipes are here
