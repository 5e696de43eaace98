"""AGIEval's shape: options that begin with their letters, and a key that may be a list."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.files.agieval import SHAPE
from shape_calls import fault_of, row_of, survey_of

ONE = {
    "passage": "Five boats lie in a row.",
    "question": "Which is first?",
    "options": ["(A)the red one", "(B) the blue one", "(C)(D) both"],
    "label": "C",
    "answer": None,
    "other": {"source": "own"},
}
SEVERAL = {**ONE, "passage": None, "label": ["C", "A"]}


def test_letters_leave_the_options_and_the_passage_is_the_problem() -> None:
    assert row_of(SHAPE, ONE) == {
        "problem": "Five boats lie in a row.",
        "questions": [
            {
                "question": "Which is first?",
                "options": ["the red one", "the blue one", "(D) both"],
                "answer": "C",
            }
        ],
    }


def test_several_right_answers_are_a_list_in_order() -> None:
    row = row_of(SHAPE, SEVERAL)
    assert "problem" not in row
    assert row["questions"][0]["answer"] == ["A", "C"]


def test_a_list_of_one_label_is_one_answer() -> None:
    assert row_of(SHAPE, {**ONE, "label": ["B"]})["questions"][0]["answer"] == "B"


@pytest.mark.parametrize("label", [[], None, ""])
def test_an_empty_label_is_no_key(label: Any) -> None:
    assert "answer" not in row_of(SHAPE, {**ONE, "label": label})["questions"][0]


def test_a_free_answer_is_refused_with_the_reason() -> None:
    values = {**ONE, "options": None, "label": None, "answer": "(3,4]"}
    assert SHAPE.fits(values)
    assert fault_of(SHAPE, values) == (
        "options",
        "has no options, so it asks for a free answer; leave the row out",
    )


def test_options_without_letters_stay_as_they_are() -> None:
    values = {**ONE, "options": ["(1)(2)", "the blue one", "(3)"]}
    assert row_of(SHAPE, values)["questions"][0]["options"] == ["(1)(2)", "the blue one", "(3)"]


@pytest.mark.parametrize(
    ("options", "place", "letter"),
    [
        (["(B)x", "(A)y"], "options[0]", "A"),
        (["(A)x", "y"], "options[1]", "B"),
        (["(A)x", "(B)y", "(D)z"], "options[2]", "C"),
    ],
)
def test_letters_out_of_order_are_refused(options: list[str], place: str, letter: str) -> None:
    reason = f"must begin with ({letter}), because the options have letters"
    assert fault_of(SHAPE, {**ONE, "options": options, "label": "A"}) == (place, reason)


@pytest.mark.parametrize("label", ["D", ["A", "E"], ["A", "A"], 1, [2], "the red one"])
def test_a_label_that_is_no_option_is_refused(label: Any) -> None:
    place, reason = fault_of(SHAPE, {**ONE, "label": label})
    assert place == "label"
    assert reason.startswith("must be one or more of A, B, C, each once, is ")


def test_faults_name_the_place_in_the_record() -> None:
    assert fault_of(SHAPE, {**ONE, "question": ""}) == (
        "question",
        'must be a text that is not empty, is ""',
    )
    assert fault_of(SHAPE, {**ONE, "options": ["(A)x", None]}) == (
        "options[1]",
        "must be a text, is null",
    )
    assert fault_of(SHAPE, {**ONE, "options": []})[0] == "options"
    assert fault_of(SHAPE, {**ONE, "passage": 5}) == (
        "passage",
        "must be a text, or null if there is none, is 5",
    )


def test_the_label_is_filled_in_as_the_file_writes_labels() -> None:
    texts, lists = (
        survey_of(SHAPE, ONE, SEVERAL),
        survey_of(SHAPE, SEVERAL, {**ONE, "label": ["A"]}),
    )
    assert SHAPE.filled(ONE, texts, ["B"]) == {**ONE, "label": "B"}
    assert SHAPE.filled(ONE, texts, ["AC"]) == {**ONE, "label": ["A", "C"]}
    assert SHAPE.filled(ONE, lists, ["B"]) == {**ONE, "label": ["B"]}
    assert SHAPE.filled(ONE, lists, ["AC"]) == {**ONE, "label": ["A", "C"]}
    assert SHAPE.filled(ONE, lists, [None]) == {**ONE, "label": None}


def test_other_records_do_not_fit() -> None:
    assert SHAPE.fits(ONE)
    assert SHAPE.fits(SEVERAL)
    assert not SHAPE.fits({"question": "q", "options": ["(A)x", "(B)y"], "answer": "A"})
    assert not SHAPE.fits({**ONE, "label": 2})
    assert not SHAPE.fits({name: ONE[name] for name in ("passage", "question", "options")})


@given(
    texts=st.lists(st.text(min_size=1).filter(str.strip), min_size=1, max_size=8),
    answer=st.sets(st.sampled_from("ABCDEFGH"), min_size=1),
    lists=st.booleans(),
)
def test_a_filled_record_is_read_with_its_answer(
    texts: list[str], answer: set[str], lists: bool
) -> None:
    right = "".join(sorted(label for label in answer if label < "ABCDEFGHI"[len(texts)])) or "A"
    options = [f"({label}){text.strip()}" for label, text in zip("ABCDEFGH", texts, strict=False)]
    values = {"passage": None, "question": "q", "options": options, "label": None}
    filled = SHAPE.filled(values, {"lists": lists}, [right])
    key = right if len(right) == 1 else [*right]
    own = [text.strip() for text in texts]
    assert row_of(SHAPE, filled)["questions"] == [{"question": "q", "options": own, "answer": key}]
    assert {**filled, "label": None} == values
