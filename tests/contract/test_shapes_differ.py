"""A record of a benchmark fits its own shape alone, and flat rows and our own rows fit none."""

from typing import Any

import pytest

from contract.files import agieval, arc, arlsat, bbh, gaokao, logiqa, logiqa_text
from contract.files.shapes import Shape

SHAPES: list[Shape] = [
    module.SHAPE for module in (agieval, arc, arlsat, bbh, gaokao, logiqa, logiqa_text)
]
OPTIONS = ["x", "y"]
CHOICES = {"text": OPTIONS, "label": ["A", "B"]}
ASKED = {"question": "q", "options": OPTIONS, "answer": "A"}
ENCLOSED = "q\nA. x\nB. y"


@pytest.mark.parametrize(
    ("name", "values"),
    [
        (
            "agieval",
            {"passage": None, "question": "q", "options": ["(A)x"], "label": "A", "answer": None},
        ),
        ("agieval", {"passage": "p", "question": "q", "options": None, "label": None}),
        ("arc", {"id": "1", "question": "q", "choices": CHOICES, "answerKey": "A"}),
        ("arc", {"question": {"stem": "q", "choices": [{"text": "x", "label": "A"}]}}),
        ("ar-lsat", {"id": "1", "passage": "p", "questions": [ASKED]}),
        ("bbh", {"input": "q\nOptions:\n(A) x\n(B) y", "target": "(A)"}),
        ("gaokao", {"question": ENCLOSED, "answer": ["A"]}),
        ("gaokao", {"year": "2031", "question": ENCLOSED, "index": 0, "score": 5}),
        ("logiqa2", {"text": "t", "question": "q", "options": OPTIONS, "answer": 0}),
        ("logiqa2", {"id": 1, "text": "t", "question": "q", "options": OPTIONS}),
        ("logiqa1", {"answer": "a", "text": "t", "question": "q", "options": OPTIONS}),
        ("logiqa1", {"lines": ["a", "t"]}),
    ],
)
def test_a_record_fits_its_own_shape_alone(name: str, values: dict[str, Any]) -> None:
    assert [shape.name for shape in SHAPES if shape.fits(values)] == [name]


@pytest.mark.parametrize(
    "values",
    [
        {"id": "1", "problem": "p", "questions": [ASKED]},
        ASKED,
        {"question": "q", "choices": OPTIONS, "answer": 0, "subject": "s"},
        {"question": "q", "choices": {"A": "x", "B": "y"}, "answer": "A"},
        {"question": "q", "A": "x", "B": "y", "answer": "A"},
        {"Question": "q", "A": "x", "B": "y", "Answer": "A"},
        {"instruction": "i", "input": "q", "output": "A"},
        {"messages": [{"role": "user", "content": "q"}]},
        {"conversations": [{"from": "human", "value": "q"}]},
        {},
    ],
)
def test_other_rows_fit_no_benchmark(values: dict[str, Any]) -> None:
    assert [shape.name for shape in SHAPES if shape.fits(values)] == []


def test_names_are_unique() -> None:
    assert len({shape.name for shape in SHAPES}) == len(SHAPES)
