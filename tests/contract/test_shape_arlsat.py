"""AR-LSAT's shape: a passage with several questions."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.files.arlsat import SHAPE
from shape_calls import fault_of, row_of, survey_of

RECORD: dict[str, Any] = {
    "id": "2001-G_1",
    "passage": "Three guests sit in a row.",
    "passageId": "1",
    "questions": [
        {"id": "2001-G_1_1", "question": "Who is left?", "options": ["Ann", "Bo"], "answer": "B"},
        {"id": "2001-G_1_2", "question": "Who is right?", "options": ["Ann", "Cy"], "answer": ""},
    ],
}


def with_question(**changes: Any) -> dict[str, Any]:
    return {**RECORD, "questions": [RECORD["questions"][0], {**RECORD["questions"][1], **changes}]}


def test_a_passage_with_its_questions_is_one_row() -> None:
    assert row_of(SHAPE, RECORD) == {
        "id": "2001-G_1",
        "problem": "Three guests sit in a row.",
        "questions": [
            {"question": "Who is left?", "options": ["Ann", "Bo"], "answer": "B"},
            {"question": "Who is right?", "options": ["Ann", "Cy"]},
        ],
    }


@pytest.mark.parametrize(
    ("values", "place"),
    [
        (with_question(question=None), "questions[1].question"),
        (with_question(options="AB"), "questions[1].options"),
        (with_question(options=["Ann", 3]), "questions[1].options[1]"),
        (with_question(answer="C"), "questions[1].answer"),
        ({**RECORD, "questions": []}, "questions"),
        ({**RECORD, "questions": ["who?"]}, "questions[0]"),
        ({**RECORD, "passage": 7}, "passage"),
    ],
)
def test_faults_name_the_place_in_the_record(values: dict[str, Any], place: str) -> None:
    assert fault_of(SHAPE, values)[0] == place


def test_each_question_gets_its_answer_and_keeps_its_other_fields() -> None:
    filled = SHAPE.filled(RECORD, survey_of(SHAPE, RECORD), ["A", None])
    assert filled["questions"] == [
        {"id": "2001-G_1_1", "question": "Who is left?", "options": ["Ann", "Bo"], "answer": "A"},
        {"id": "2001-G_1_2", "question": "Who is right?", "options": ["Ann", "Cy"], "answer": None},
    ]
    assert {**filled, "questions": RECORD["questions"]} == RECORD
    assert RECORD["questions"][0]["answer"] == "B"


def test_our_own_rows_and_flat_rows_do_not_fit() -> None:
    assert SHAPE.fits(RECORD)
    own = {"id": "1", "problem": "p", "questions": RECORD["questions"]}
    assert not SHAPE.fits(own)
    assert not SHAPE.fits({**own, "passage": "p"})
    assert not SHAPE.fits({"passage": "p", "question": "q", "options": ["x"], "label": "A"})
    assert not SHAPE.fits({"passage": "p", "questions": ["q"]})


@given(st.lists(st.none() | st.sampled_from(["A", "B", "C", "AC", "ABC"]), min_size=1, max_size=5))
def test_a_filled_record_is_read_with_its_answers(answers: list[str | None]) -> None:
    question = {"question": "q", "options": ["x", "y", "z"]}
    values = {"passage": "p", "questions": [question] * len(answers)}
    read = row_of(SHAPE, SHAPE.filled(values, {}, answers))["questions"]
    assert ["".join(one.get("answer", "")) or None for one in read] == answers
