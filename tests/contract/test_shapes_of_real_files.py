"""The benchmarks' own files: each record is read, and its key filled in gives the record again."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from contract.files import agieval, arlsat, bbh, gaokao, logiqa
from contract.files.shapes import Reading, Record, Shape


def records_in(path: Path) -> list[Record]:
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".json":
        found: Any = json.loads(text)
        if isinstance(found, dict):
            found = next(value for value in found.values() if isinstance(value, list))
    else:
        found = [json.loads(line) for line in text.splitlines()]
    return [Record(number, values) for number, values in enumerate(found, start=1)]


@pytest.mark.skipif("QUORUM_REAL_DATA" not in os.environ, reason="QUORUM_REAL_DATA is not set")
@pytest.mark.parametrize(
    ("name", "shape", "questions"),
    [
        ("agieval_jec-qa-kd.jsonl", agieval.SHAPE, 1000),
        ("agieval_lsat-ar.jsonl", agieval.SHAPE, 230),
        ("arlsat_dev.json", arlsat.SHAPE, 231),
        ("arlsat_train.json", arlsat.SHAPE, 1630),
        ("bbh_logical_deduction_five.json", bbh.SHAPE, 250),
        ("gaokao_math1.json", gaokao.SHAPE, 214),
        ("logiqa2_dev_zh.txt", logiqa.SHAPE, 1593),
    ],
)
def test_each_record_of_the_real_files_is_read(name: str, shape: Shape, questions: int) -> None:
    records = records_in(Path(os.environ["QUORUM_REAL_DATA"]) / "shapes" / name)
    assert all(shape.fits(record.values) for record in records)
    survey, count = shape.survey(records, Reading()), 0
    for record in records:
        asked = shape.row(record, survey)["questions"]
        count += len(asked)
        answers = ["".join(question.get("answer", "")) for question in asked]
        if all(answers):
            assert shape.filled(record.values, survey, answers) == record.values
    assert count == questions
