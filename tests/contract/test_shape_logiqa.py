"""The shape of LogiQA 2: a text with one question, and the index of the right option."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.files.logiqa import SHAPE
from contract.files.shapes import Reading, Record
from shape_calls import answer_in, fault_of, row_of, survey_of

RECORD = {
    "example_id": 41,
    "answer": 2,
    "text": "所有的鸟都会飞。",
    "question": "可以推出哪项？",
    "options": ["企鹅会飞", "鱼会飞", "会飞的是鸟", "鸟有翅膀"],
}


def test_a_text_with_one_question_is_read() -> None:
    assert row_of(SHAPE, RECORD) == {
        "id": 41,
        "problem": "所有的鸟都会飞。",
        "questions": [
            {
                "question": "可以推出哪项？",
                "options": ["企鹅会飞", "鱼会飞", "会飞的是鸟", "鸟有翅膀"],
                "answer": "C",
            }
        ],
    }


def test_english_files_name_the_id_otherwise() -> None:
    values = {name: value for name, value in RECORD.items() if name != "example_id"}
    assert row_of(SHAPE, {**values, "id": 10471, "type": {"Negation": True}})["id"] == 10471


def test_letters_that_all_options_have_leave_them() -> None:
    values = {**RECORD, "options": ["A.红", "B.绿", "C.蓝", "D.白"]}
    (question,) = row_of(SHAPE, values)["questions"]
    assert question["options"] == ["红", "绿", "蓝", "白"]
    assert SHAPE.filled(values, {"first": 0}, ["A"])["options"] == values["options"]


@pytest.mark.parametrize(
    ("key", "answer"), [(0, "A"), (3, "D"), (None, None), ([2, 0], ["A", "C"])]
)
def test_the_key_counts_from_0(key: Any, answer: Any) -> None:
    assert answer_in(SHAPE, {**RECORD, "answer": key}) == answer


def test_the_sender_may_say_that_keys_count_from_1() -> None:
    survey = survey_of(SHAPE, RECORD, reading=Reading(index_base=1))
    assert SHAPE.row(Record(1, RECORD), survey)["questions"][0]["answer"] == "B"
    assert SHAPE.filled(RECORD, survey, ["D"])["answer"] == 4


@pytest.mark.parametrize("key", [4, -1, True, "2", 1.0, [1, 1], [0, 4]])
def test_a_key_that_is_no_index_is_refused(key: Any) -> None:
    place, reason = fault_of(SHAPE, {**RECORD, "answer": key})
    assert place == "answer"
    assert reason.startswith("must be the index of an option, from 0 to 3, is ")


def test_faults_name_the_place_in_the_record() -> None:
    assert fault_of(SHAPE, {**RECORD, "question": "  "})[0] == "question"
    assert fault_of(SHAPE, {**RECORD, "options": "四个"})[0] == "options"
    assert fault_of(SHAPE, {**RECORD, "text": ["a"]})[0] == "text"


def test_an_empty_text_is_no_problem_text() -> None:
    assert "problem" not in row_of(SHAPE, {**RECORD, "text": " "})


def test_the_answer_is_filled_in_as_an_index() -> None:
    assert SHAPE.filled(RECORD, {"first": 0}, ["A"]) == {**RECORD, "answer": 0}
    assert SHAPE.filled(RECORD, {"first": 0}, ["BD"]) == {**RECORD, "answer": [1, 3]}
    assert SHAPE.filled(RECORD, {"first": 0}, [None]) == {**RECORD, "answer": None}


def test_other_records_do_not_fit() -> None:
    assert SHAPE.fits(RECORD)
    assert not SHAPE.fits({"question": "q", "options": ["x", "y"], "answer": 0})
    assert not SHAPE.fits({**RECORD, "answer": "B"})
    assert not SHAPE.fits({**RECORD, "answer": True})
    assert not SHAPE.fits({**RECORD, "passage": None, "label": "B"})


@given(
    options=st.lists(st.text(alphabet="甲乙丙丁", min_size=1), min_size=1, max_size=9),
    place=st.integers(0, 8),
    first=st.sampled_from([0, 1]),
)
def test_a_filled_record_is_read_with_its_answer(
    options: list[str], place: int, first: int
) -> None:
    label = "ABCDEFGHI"[place % len(options)]
    values = {"text": "t", "question": "q", "options": options}
    filled = SHAPE.filled(values, {"first": first}, [label])
    row = SHAPE.row(Record(1, filled), {"first": first})
    assert row["questions"] == [{"question": "q", "options": options, "answer": label}]
