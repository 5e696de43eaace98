"""Calls of a shape's functions as a file with these records makes them."""

from __future__ import annotations

from typing import Any

import pytest

from contract.files.shapes import Reading, Record, RowFaultsError, Shape, Survey


def survey_of(shape: Shape, *records: dict[str, Any], reading: Reading | None = None) -> Survey:
    numbered = (Record(number, values) for number, values in enumerate(records, start=1))
    return shape.survey(numbered, reading or Reading())


def row_of(shape: Shape, values: dict[str, Any]) -> dict[str, Any]:
    return shape.row(Record(1, values), survey_of(shape, values))


def answer_in(shape: Shape, values: dict[str, Any]) -> Any:
    """The answer of the record's only question; None without one."""
    (question,) = row_of(shape, values)["questions"]
    return question.get("answer")


def fault_of(shape: Shape, values: dict[str, Any]) -> tuple[str, str]:
    """The place and the reason of a record's only fault."""
    with pytest.raises(RowFaultsError) as caught:
        row_of(shape, values)
    ((place, reason),) = caught.value.faults
    return place, str(reason)
