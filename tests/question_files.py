"""Small files of questions in many forms, and what they become."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from contract import FileFault, Problem, ProblemFileError, parse_problems
from contract.files.converting import Recognized, convert
from contract.files.shapes import Reading

MOST_BYTES = 8 << 20
FLAT = [
    {"question": "2 + 2?", "choices": ["3", "4", "5"], "answer": "B"},
    {"question": "首都？", "choices": ["北京", "上海", "广州"], "answer": "A"},
]


def converted(folder: Path, data: bytes, **reading: Any) -> tuple[Recognized | None, list[Problem]]:
    """What a file is recognized as, and its problems."""
    source, target = folder / "posted", folder / "rows.jsonl"
    source.write_bytes(data)
    target.unlink(missing_ok=True)
    found = convert(source, target, Reading(**reading), most_bytes=MOST_BYTES)
    assert target.exists() == (found is not None)
    assert {path.name for path in folder.iterdir()} <= {"posted", "rows.jsonl"}
    return found, parse_problems((target if found else source).read_bytes())


def problems(folder: Path, data: bytes, **reading: Any) -> list[Problem]:
    return converted(folder, data, **reading)[1]


def questions(folder: Path, data: bytes, **reading: Any) -> list[tuple[str, list[str], str | None]]:
    """Each question's text, options and key."""
    return [
        (question.text, [*question.options], question.answer)
        for problem in problems(folder, data, **reading)
        for question in problem.questions
    ]


def faults(folder: Path, data: bytes, **reading: Any) -> list[FileFault]:
    """The faults of a refused file. No target is left."""
    with pytest.raises(ProblemFileError) as caught:
        converted(folder, data, **reading)
    assert {path.name for path in folder.iterdir()} == {"posted"}
    return caught.value.faults


def refusal(folder: Path, data: bytes, **reading: Any) -> str:
    """The sentence of a file that is refused as a whole."""
    (fault,) = faults(folder, data, **reading)
    assert fault.unit == "file"
    return str(fault)


def json_lines(rows: Sequence[Mapping[str, Any]]) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def csv_of(rows: Sequence[Sequence[Any]], delimiter: str = ",") -> bytes:
    file = io.StringIO()
    csv.writer(file, delimiter=delimiter).writerows(rows)
    return file.getvalue().encode()
