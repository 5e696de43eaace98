"""BIG-bench hard's shape: the options are a part of the input."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.files.bbh import SHAPE
from shape_calls import answer_in, fault_of, row_of

LETTERED = {
    "input": "Three boats lie in a row. The red one is first.\nWhich is true?\nOptions:\n"
    "(A) The red one is first\n(B) The red one is (A) last\n(C) 1/2",
    "target": "(B)",
}
DASHED = {"input": "Is 7 prime?\nOptions:\n- Yes \n- No - never", "target": "No - never"}


def test_lettered_options_leave_the_question() -> None:
    assert row_of(SHAPE, LETTERED) == {
        "questions": [
            {
                "question": "Three boats lie in a row. The red one is first.\nWhich is true?",
                "options": ["The red one is first", "The red one is (A) last", "1/2"],
                "answer": "B",
            }
        ]
    }


def test_options_without_letters_are_named_by_their_text() -> None:
    assert row_of(SHAPE, DASHED) == {
        "questions": [{"question": "Is 7 prime?", "options": ["Yes", "No - never"], "answer": "B"}]
    }
    assert fault_of(SHAPE, {**DASHED, "target": "no"}) == (
        "target",
        'must be one of the options (Yes, No - never), is "no"',
    )
    assert fault_of(SHAPE, {**DASHED, "target": "(A)"})[0] == "target"


def test_a_target_may_be_the_text_of_a_lettered_option() -> None:
    assert answer_in(SHAPE, {**LETTERED, "target": "1/2"}) == "C"


def test_a_text_that_two_options_have_names_none() -> None:
    values = {"input": "Q?\nOptions:\n- Yes\n- Yes", "target": "Yes"}
    assert fault_of(SHAPE, values)[0] == "target"


@pytest.mark.parametrize("target", ["(D)", "(A), (A)", "A", 1, True])
def test_a_target_that_is_no_option_is_refused(target: Any) -> None:
    place, reason = fault_of(SHAPE, {**LETTERED, "target": target})
    assert place == "target"
    assert reason.startswith("must be one of the options ((A), (B), (C)), is ")


@pytest.mark.parametrize("target", ["", None])
def test_an_empty_target_is_no_key(target: str | None) -> None:
    assert answer_in(SHAPE, {**LETTERED, "target": target}) is None


@pytest.mark.parametrize(
    "text",
    [
        "not ( True ) and False is",
        "Q?\nOptions:\n",
        "Q?\nOptions:\nYes\nNo",
        "Options: (A) x (B) y",
    ],
)
def test_a_task_without_options_is_refused(text: str) -> None:
    place, reason = fault_of(SHAPE, {"input": text, "target": "True"})
    assert place == "input"
    assert reason.startswith('must end in a line "Options:" and options that begin with "(A)"')


def test_letters_must_follow_one_another() -> None:
    values = {"input": "Q?\nOptions:\n(A) x\n(C) y", "target": "(A)"}
    assert fault_of(SHAPE, values) == (
        "input",
        "has options with the letters A, C; they must follow one another from A on",
    )


def test_the_last_options_count() -> None:
    text = "An example:\nOptions:\n- x\n- y\nIs it?\nOptions:\n- Yes\n- No"
    (question,) = row_of(SHAPE, {"input": text, "target": "Yes"})["questions"]
    assert question["question"] == "An example:\nOptions:\n- x\n- y\nIs it?"
    assert question["options"] == ["Yes", "No"]


def test_a_question_needs_a_text() -> None:
    assert fault_of(SHAPE, {"input": "Options:\n- Yes\n- No", "target": "No"})[0] == "input"
    assert fault_of(SHAPE, {"input": None, "target": "No"})[0] == "input"


def test_the_target_is_filled_in_as_the_input_has_its_options() -> None:
    assert SHAPE.filled(LETTERED, {}, ["C"]) == {**LETTERED, "target": "(C)"}
    assert SHAPE.filled(LETTERED, {}, ["AC"]) == {**LETTERED, "target": "(A), (C)"}
    assert SHAPE.filled(DASHED, {}, ["A"]) == {**DASHED, "target": "Yes"}
    assert SHAPE.filled(DASHED, {}, [None]) == {**DASHED, "target": None}


def test_instruction_rows_do_not_fit() -> None:
    assert SHAPE.fits(LETTERED)
    assert SHAPE.fits({"input": "2 + 2 is", "target": "4"})
    assert not SHAPE.fits({"instruction": "i", "input": "Q?", "output": "A", "target": "A"})
    assert not SHAPE.fits({"input": "Q?", "output": "A"})
    assert not SHAPE.fits({"input": ["Q?"], "target": "A"})


OPTIONS = st.lists(
    st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1), min_size=1, max_size=9
)


@given(options=OPTIONS, answer=st.sets(st.sampled_from("ABCDEFGHI"), min_size=1))
def test_a_filled_record_is_read_with_its_answer(options: list[str], answer: set[str]) -> None:
    labels = "ABCDEFGHI"[: len(options)]
    right = sorted(answer & {*labels}) or ["A"]
    lines = [f"({label}) {option}" for label, option in zip(labels, options, strict=True)]
    values = {"input": "\n".join(["Q?", "Options:", *lines]), "target": ""}
    (question,) = row_of(SHAPE, SHAPE.filled(values, {}, ["".join(right)]))["questions"]
    assert question["options"] == options
    assert [*question["answer"]] == right
