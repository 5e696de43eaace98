"""The shape of LogiQA 1: plain text with eight lines a question."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.files.logiqa_text import SHAPE, lines_of, looks_like, records_of
from shape_calls import answer_in, fault_of, row_of, survey_of

TEXT = """
b
All birds fly.
What follows?
A.Fish fly.
B.Penguins fly.
C.a bird is a fish
D.None

c
甲比乙高。
谁最高？
A 甲
B .乙
C: 丙
D、A型
"""
LINES = TEXT.splitlines()
MISSHAPEN = ["", "b", "text", "question", "A.x", "B.y", "C.z", *LINES]


def test_each_question_is_a_record_with_its_line() -> None:
    first, second = records_of(LINES)
    assert (first.number, second.number) == (2, 10)
    assert first.values == {
        "answer": "b",
        "text": "All birds fly.",
        "question": "What follows?",
        "options": ["A.Fish fly.", "B.Penguins fly.", "C.a bird is a fish", "D.None"],
    }
    assert SHAPE.fits(first.values)


def test_letters_leave_the_options() -> None:
    first, second = records_of(LINES)
    assert row_of(SHAPE, first.values) == {
        "problem": "All birds fly.",
        "questions": [
            {
                "question": "What follows?",
                "options": ["Fish fly.", "Penguins fly.", "a bird is a fish", "None"],
                "answer": "B",
            }
        ],
    }
    (question,) = row_of(SHAPE, second.values)["questions"]
    assert question["options"] == ["甲", "乙", "丙", "A型"]


def test_records_become_the_same_lines_again() -> None:
    assert [line for record in records_of(LINES) for line in lines_of(record.values)] == LINES
    misshapen = [line for record in records_of(MISSHAPEN) for line in lines_of(record.values)]
    assert misshapen == MISSHAPEN


@pytest.mark.parametrize("empty", [[""], ["", "", ""]])
def test_the_letter_may_be_missing(empty: list[str]) -> None:
    lines = [*empty, *LINES[2:8], *empty, *LINES[10:]]
    records = list(records_of(lines))
    assert [record.values["answer"] for record in records] == ["", ""]
    assert [record.values["text"] for record in records] == ["All birds fly.", "甲比乙高。"]
    assert answer_in(SHAPE, records[0].values) is None
    assert lines_of(records[0].values) == ["", *LINES[2:8]]


def test_an_empty_text_between_letter_and_question_is_read() -> None:
    (record,) = records_of(["", "a", "", "Which?", "A.w", "B.x", "C.y", "D.z"])
    assert "problem" not in row_of(SHAPE, record.values)
    assert answer_in(SHAPE, record.values) == "A"


def test_lines_out_of_the_scheme_are_named_and_reading_goes_on() -> None:
    broken, *others = records_of(MISSHAPEN)
    assert broken.number == 2
    assert [record.number for record in others] == [9, 17]
    place, reason = fault_of(SHAPE, broken.values)
    assert (place, reason[:35]) == ("", "these 6 lines are no question: writ")
    doubled = [*LINES[:3], "one line too many", *LINES[3:]]
    assert [len(r.values.get("lines", [])) for r in records_of(doubled)] == [8, 0]


def test_options_must_have_their_letters_in_order() -> None:
    (record,) = records_of(["a", "t", "q", "A.w", "B.x", "C.y", "C.z"])
    assert fault_of(SHAPE, record.values) == ("options[3]", "must begin with D.")


def test_the_question_must_have_a_text() -> None:
    (record,) = records_of(["a", "t", "", "A.w", "B.x", "C.y", "D.z"])
    assert fault_of(SHAPE, record.values)[0] == "question"


def test_the_answer_is_filled_in_with_the_files_case() -> None:
    first, second = (record.values for record in records_of(LINES))
    small = survey_of(SHAPE, first, second)
    assert SHAPE.filled(first, small, ["D"]) == {**first, "answer": "d"}
    assert SHAPE.filled(first, small, [None]) == {**first, "answer": ""}
    capitals = survey_of(SHAPE, {**first, "answer": "B"}, second)
    assert SHAPE.filled(first, capitals, ["D"]) == {**first, "answer": "D"}


def test_only_such_texts_look_like_it() -> None:
    assert looks_like(LINES)
    assert looks_like(LINES[2:8])
    assert not looks_like([])
    assert not looks_like(["", ""])
    assert not looks_like(['{"question": "q", "options": ["A", "B"]}'] * 9)
    assert not looks_like(["question,A,B,C,D,Answer", "q,1,2,3,4,A"] * 5)
    assert not looks_like(["A.w", "B.x", "C.y", "D.z"])


WORDS = st.text("甲AbD.、1)", min_size=2, max_size=5)


@given(
    questions=st.lists(
        st.tuples(WORDS, WORDS, st.lists(WORDS, min_size=4, max_size=4)), min_size=1, max_size=4
    ),
    answer=st.sampled_from(["A", "B", "C", "D", "BD", None]),
)
def test_filled_lines_are_read_with_their_answers(
    questions: list[tuple[str, str, list[str]]], answer: str | None
) -> None:
    records = [
        {
            "answer": "a",
            "text": f"{text}。",
            "question": question,
            "options": [f"{label}.{option}" for label, option in zip("ABCD", options, strict=True)],
        }
        for text, question, options in questions
    ]
    filled = [SHAPE.filled(values, {"capitals": False}, [answer]) for values in records]
    again = list(records_of(line for values in filled for line in lines_of(values)))
    assert [record.values for record in again] == filled
    read = answer_in(SHAPE, again[0].values)
    assert "".join(read or "") == (answer or "")
