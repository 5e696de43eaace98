"""Any bytes give problems or faults, and what is accepted is written back unchanged."""

from __future__ import annotations

import io
import json
from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from contract import Problem, ProblemFileError, parse_problems, write_json
from contract.files.jsonl import MAX_FAULTS_KEPT, iter_problems, read_lines
from damage import FUZZED, damaged
from orchestrator.jobs.records import Answer
from orchestrator.jobs.submission import submission_row

TEXTS = st.text(min_size=1, max_size=12)
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=6),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=5,
)
QUESTIONS = st.fixed_dictionaries(
    {"question": TEXTS, "options": st.lists(st.text(max_size=6), min_size=1, max_size=26)},
    optional={"answer": st.sampled_from(["A", "B", None]), "analysis": TEXTS, "more": JSON},
)
ROWS = st.fixed_dictionaries(
    {"problem": TEXTS, "questions": st.lists(QUESTIONS, min_size=1, max_size=3)},
    optional={"id": TEXTS | st.integers(), "source": JSON, "题": JSON},
)


def _file(rows: list[dict[str, Any]], *, ascii_only: bool) -> bytes:
    return b"".join(json.dumps(row, ensure_ascii=ascii_only).encode() + b"\n" for row in rows)


FILES = st.builds(_file, st.lists(ROWS, min_size=1, max_size=4), ascii_only=st.booleans())


def exact(text: str | bytes) -> Any:
    """The JSON value with every digit and every key in its place, by Python's own reader."""
    return json.loads(text, parse_float=Decimal, parse_int=Decimal, object_pairs_hook=list)


def check_faults(error: ProblemFileError, data: bytes) -> None:
    assert 1 <= len(error.faults) <= MAX_FAULTS_KEPT
    assert error.total >= len(error.faults)
    for fault in error.faults:
        assert 1 <= fault.line <= data.count(b"\n") + 1
        assert fault.reason
        assert len(str(fault)) < 1000
        assert str(fault).encode()


def check_kept(problem: Problem, line: bytes) -> None:
    """The row is the posted one, digit by digit, but for an id that was missing."""
    posted = exact(line.removeprefix(b"\xef\xbb\xbf"))
    kept = exact(write_json(problem.row))
    assert [pair for pair in kept if pair[0] != "id" or pair in posted] == posted
    answers = [Answer(id=problem.id, index=i, answer="A") for i in range(len(problem.questions))]
    row = json.loads(write_json(submission_row(problem, answers, "full")))
    assert [question.pop("answer") for question in row["questions"]] == ["A"] * len(answers)
    unanswered = json.loads(write_json(problem.row))
    for question in unanswered["questions"]:
        question.pop("answer", None)
    assert row == unanswered


@FUZZED
@given(damaged(FILES) | st.binary(max_size=200))
def test_any_bytes_give_problems_or_faults(data: bytes) -> None:
    try:
        problems = parse_problems(data)
    except ProblemFileError as error:
        check_faults(error, data)
        return
    lines = data.splitlines(keepends=True) if b"\r" not in data else io.BytesIO(data).readlines()
    assert len({problem.id for problem in problems}) == len(problems)
    for problem in problems:
        assert data[problem.offset :].startswith(lines[problem.line - 1])
        check_kept(problem, lines[problem.line - 1])


@FUZZED
@given(damaged(FILES, most=1))
def test_a_written_row_is_accepted_again(data: bytes) -> None:
    try:
        problems = list(iter_problems(read_lines(io.BytesIO(data))))
    except ProblemFileError:
        return
    written = "".join(write_json(problem.row) + "\n" for problem in problems).encode()
    again = parse_problems(written)
    assert [problem.row for problem in again] == [problem.row for problem in problems]
    assert [problem.questions for problem in again] == [problem.questions for problem in problems]
