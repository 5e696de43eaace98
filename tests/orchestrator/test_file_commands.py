"""`quorum convert` and `quorum check` read any file of questions, without a server."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from contract import parse_problems

WELL, WRONG_USE, REFUSED = 0, 2, 3
TABLE = "题干,甲,乙,正确答案\n首都？,北京,上海,1\n二加二？,三,四,2\n"
MAP = ("--map", "question=题干", "A=甲", "B=乙", "answer=正确答案")


def quorum(folder: Path, *arguments: str, code: int = WELL) -> "subprocess.CompletedProcess[bytes]":
    environment = {**os.environ, "COLUMNS": "200", "QUORUM_URL": "http://127.0.0.1:9"}
    environment.pop("MAX_UPLOAD_MIB", None)
    done = subprocess.run(
        [sys.executable, "-m", "orchestrator.cli", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        timeout=120,
    )
    assert done.returncode == code, (arguments, done.stdout, done.stderr)
    return done


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "exam.csv").write_bytes(TABLE.encode("gbk"))
    (tmp_path / "flat.csv").write_text("question,A,B,answer\nq,x,y,A\nr,x,y,\n")
    (tmp_path / "bad.csv").write_text("question,A,B,answer\nq,x,y,A\n" + ",x,y,A\n" * 30)
    row = {"problem": "p", "questions": [{"question": "q", "options": ["x", "y"]}]}
    (tmp_path / "ours.jsonl").write_text(json.dumps(row) + "\n")
    return tmp_path


def test_a_file_is_converted_to_standard_output_or_a_file(folder: Path) -> None:
    done = quorum(folder, "convert", "flat.csv")
    (first, second) = parse_problems(done.stdout)
    assert (first.questions[0].answer, second.questions[0].answer) == ("A", None)
    assert b"read as flat rows (CSV)" in done.stderr
    done = quorum(folder, "convert", "flat.csv", "--out", "rows.jsonl")
    assert done.stdout == b""
    assert parse_problems((folder / "rows.jsonl").read_bytes()) == [first, second]


def test_columns_encoding_and_base_are_options(folder: Path) -> None:
    refused = quorum(folder, "convert", "exam.csv", code=REFUSED)
    assert "the file is GBK; send it with encoding=gbk" in refused.stderr.decode()
    options = ("--encoding", "gbk", "--index-base", "1", *MAP)
    done = quorum(folder, "convert", "exam.csv", *options)
    answers = [problem.questions[0].answer for problem in parse_problems(done.stdout)]
    assert answers == ["A", "B"]
    told = done.stderr.decode()
    assert "question from 题干, options from 甲 to 乙, answer from 正确答案, numbers from 1" in told


def test_our_own_rows_come_out_as_they_are(folder: Path) -> None:
    done = quorum(folder, "convert", "ours.jsonl")
    assert done.stdout == (folder / "ours.jsonl").read_bytes()
    assert b"our own rows in JSON lines: taken as they are" in done.stderr


def test_a_check_says_what_would_be_accepted(folder: Path) -> None:
    done = quorum(folder, "check", "flat.csv")
    assert done.stdout == b"problems: 2, questions: 2, with an answer: 1\n"
    assert b"flat.csv: read as flat rows (CSV): question from question" in done.stderr
    told = json.loads(quorum(folder, "check", "flat.csv", "--json").stdout)
    assert (told["accepted"], told["problems"], told["labelled"]) == (True, 2, 1)
    assert told["recognized"]["columns"] == {
        "question": "question",
        "A": "A",
        "B": "B",
        "answer": "answer",
    }
    assert quorum(folder, "check", "ours.jsonl").stdout.startswith(b"problems: 1, questions: 1,")


def test_a_check_names_the_first_faults_of_a_refused_file(folder: Path) -> None:
    done = quorum(folder, "check", "bad.csv", code=REFUSED)
    lines = done.stderr.decode().splitlines()
    assert lines[0] == "bad.csv is refused:"
    assert lines[1].strip() == "line 3, question: is empty; it must be a text"
    assert (len(lines), lines[-1].strip(), done.stdout) == (22, "and 10 more", b"")
    told = json.loads(quorum(folder, "check", "bad.csv", "--json", code=REFUSED).stdout)
    assert (told["accepted"], told["error_count"], len(told["errors"])) == (False, 30, 20)
    assert (told["errors"][0]["unit"], told["stopped"]) == ("line", False)


def test_a_check_says_that_reading_stopped(folder: Path) -> None:
    (folder / "worse.csv").write_text("question,A,B\n" + ",x,y\n" * 10_001)
    done = quorum(folder, "check", "worse.csv", code=REFUSED)
    last = done.stderr.decode().splitlines()[-1].strip()
    assert last == "and at least 9980 more: reading stopped there"
    told = json.loads(quorum(folder, "check", "worse.csv", "--json", code=REFUSED).stdout)
    assert (told["error_count"], told["stopped"]) == (10_000, True)


def test_a_refused_file_leaves_no_output(folder: Path) -> None:
    (folder / "old.jsonl").write_text("old")
    done = quorum(folder, "convert", "bad.csv", "--out", "old.jsonl", code=REFUSED)
    assert done.stdout == b""
    assert (folder / "old.jsonl").read_text() == "old"


def test_a_file_over_the_apis_limit_is_refused(folder: Path) -> None:
    (folder / "large.csv").write_text("question,A,B\n" + "q,x,y\n" * 200_000)
    quorum(folder, "check", "large.csv")
    done = quorum(folder, "check", "large.csv", "--max-upload-mib", "1", code=REFUSED)
    assert b"a problem file may have 1 MiB at most" in done.stderr


def test_wrong_use_is_said(folder: Path) -> None:
    quorum(folder, "check", "nowhere.csv", code=WRONG_USE)
    quorum(folder, "check", "flat.csv", "--index-base", "2", code=WRONG_USE)
    done = quorum(folder, "check", "flat.csv", "--map", "question", code=WRONG_USE)
    assert b"NAME=COLUMN" in done.stderr
    quorum(folder, "check", "flat.csv", "--map", "A=x", "A=y", code=WRONG_USE)
