"""ARC's shape: choices with labels of their own."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.files.arc import SHAPE
from shape_calls import fault_of, row_of, survey_of

NEW = {
    "id": "Mercury_7",
    "question": "Which is a metal?",
    "choices": {"text": ["wood", "iron", "glass"], "label": ["A", "B", "C"]},
    "answerKey": "B",
}
NUMBERED = {**NEW, "choices": {"text": ["wood", "iron"], "label": ["1", "2"]}, "answerKey": "2"}
OLD = {
    "id": "Mercury_7",
    "question": {
        "stem": "Which is a metal?",
        "choices": [{"text": "wood", "label": "A"}, {"text": "iron", "label": "B"}],
    },
    "answerKey": "A",
}


def test_a_question_with_lettered_choices_is_read() -> None:
    assert row_of(SHAPE, NEW) == {
        "id": "Mercury_7",
        "questions": [
            {
                "question": "Which is a metal?",
                "options": ["wood", "iron", "glass"],
                "answer": "B",
            }
        ],
    }


def test_the_older_nested_form_is_read() -> None:
    assert row_of(SHAPE, OLD) == {
        "id": "Mercury_7",
        "questions": [
            {"question": "Which is a metal?", "options": ["wood", "iron"], "answer": "A"}
        ],
    }


def test_a_question_stem_beside_choices_is_read() -> None:
    values = {"question_stem": "The sun is", "choices": NEW["choices"], "answerKey": "C"}
    assert SHAPE.fits(values)
    assert row_of(SHAPE, values)["questions"][0]["answer"] == "C"


@pytest.mark.parametrize(("key", "answer"), [("2", "B"), (1, "A"), ("B", "B"), (" a ", "A")])
def test_numbers_and_letters_name_numbered_choices(key: Any, answer: str) -> None:
    assert row_of(SHAPE, {**NUMBERED, "answerKey": key})["questions"][0]["answer"] == answer


def test_a_number_names_a_lettered_choice_from_1_on() -> None:
    assert row_of(SHAPE, {**NEW, "answerKey": "1"})["questions"][0]["answer"] == "A"


def test_labels_that_are_no_alphabet_are_followed() -> None:
    values = {**NEW, "choices": {"text": ["x", "y"], "label": ["B", "A"]}, "answerKey": "B"}
    assert row_of(SHAPE, values)["questions"][0]["answer"] == "A"
    assert SHAPE.filled(values, survey_of(SHAPE, values), ["B"])["answerKey"] == "A"


@pytest.mark.parametrize("key", ["", None])
def test_an_empty_key_is_no_key(key: str | None) -> None:
    assert "answer" not in row_of(SHAPE, {**NEW, "answerKey": key})["questions"][0]
    without = {name: value for name, value in NEW.items() if name != "answerKey"}
    assert "answer" not in row_of(SHAPE, without)["questions"][0]


@pytest.mark.parametrize("key", ["D", "4", 0, True, ["B", "B"]])
def test_a_key_that_is_no_choice_is_refused(key: Any) -> None:
    place, reason = fault_of(SHAPE, {**NEW, "answerKey": key})
    assert place == "answerKey"
    assert reason.startswith("must be the label of a choice (A, B, C), is ")


def test_choices_need_as_many_labels_as_texts() -> None:
    values = {**NEW, "choices": {"text": ["a", "b"], "label": ["A", "B", "C"]}}
    reason = "has 3 labels for 2 choices; give each choice one"
    assert fault_of(SHAPE, values) == ("choices.label", reason)
    values = {**NEW, "choices": {"text": ["a", "b"], "label": ["A", "A"]}}
    reason = "must give each choice a label of its own"
    assert fault_of(SHAPE, values) == ("choices.label", reason)
    values = {**OLD, "question": {"stem": "s", "choices": [{"text": "a"}]}}
    assert fault_of(SHAPE, values) == ("question.choices", reason)


def test_faults_name_the_place_in_the_record() -> None:
    assert fault_of(SHAPE, {**NEW, "question": " "})[0] == "question"
    assert fault_of(SHAPE, {**NEW, "choices": {"text": ["a", 2], "label": ["A", "B"]}}) == (
        "choices.text[1]",
        "must be a text, is 2",
    )
    assert fault_of(SHAPE, {**NEW, "choices": ["a", "b"]})[0] == "choices"
    assert fault_of(SHAPE, {**OLD, "question": {"stem": "", "choices": []}})[0] == "question.stem"
    assert (
        fault_of(SHAPE, {**OLD, "question": {"stem": "s", "choices": "ab"}})[0]
        == "question.choices"
    )
    assert (
        fault_of(SHAPE, {**OLD, "question": {"stem": "s", "choices": ["a"]}})[0]
        == "question.choices[0]"
    )


def test_the_key_is_filled_in_as_the_choices_label() -> None:
    assert SHAPE.filled(NEW, survey_of(SHAPE, NEW), ["C"]) == {**NEW, "answerKey": "C"}
    assert SHAPE.filled(NUMBERED, survey_of(SHAPE, NUMBERED), ["A"]) == {
        **NUMBERED,
        "answerKey": "1",
    }
    assert SHAPE.filled(OLD, survey_of(SHAPE, OLD), ["B"]) == {**OLD, "answerKey": "B"}
    assert SHAPE.filled(NEW, survey_of(SHAPE, NEW), [None]) == {**NEW, "answerKey": None}


def test_keys_of_another_kind_than_the_labels_are_filled_in_so() -> None:
    letters = {**NEW, "answerKey": "2"}
    assert SHAPE.filled(NEW, survey_of(SHAPE, NEW, letters), ["C"])["answerKey"] == "3"
    numbers = {**NUMBERED, "answerKey": "B"}
    assert SHAPE.filled(numbers, survey_of(SHAPE, numbers), ["A"])["answerKey"] == "A"


def test_other_records_do_not_fit() -> None:
    assert all(map(SHAPE.fits, (NEW, OLD, NUMBERED)))
    assert not SHAPE.fits({"question": "q", "choices": ["a", "b"], "answer": 0})
    assert not SHAPE.fits({"question": "q", "choices": {"A": "a", "B": "b"}, "answer": "A"})
    assert not SHAPE.fits({"question": {"text": "q"}, "choices": NEW["choices"]})


@given(
    texts=st.lists(st.text(min_size=1), min_size=1, max_size=9),
    numbers=st.booleans(),
    data=st.data(),
)
def test_a_filled_record_is_read_with_its_answer(
    texts: list[str], numbers: bool, data: st.DataObject
) -> None:
    labels = ["123456789"[i] if numbers else "ABCDEFGHI"[i] for i in range(len(texts))]
    answer = data.draw(st.sampled_from("ABCDEFGHI"[: len(texts)]))
    values = {"question": "q", "choices": {"text": texts, "label": labels}, "answerKey": ""}
    filled = SHAPE.filled(values, survey_of(SHAPE, values), [answer])
    assert row_of(SHAPE, filled)["questions"] == [
        {"question": "q", "options": texts, "answer": answer}
    ]
