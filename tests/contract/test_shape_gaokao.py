"""GAOKAO-Bench's shape: the options are a part of the question's text."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.files.gaokao import SHAPE
from shape_calls import answer_in, fault_of, row_of

RECORD = {
    "year": "2031",
    "category": "（模拟）",
    "question": "1. （5 分) 若 $A=\\{x \\mid x>0\\}$, 则 $f(A, B)=(\\quad)$\n"
    "A. $\\frac{1}{2}$\nB. $[0,2]$\nC. -1\nD.\n\n$\\{0,1\\}$\n",
    "answer": ["D"],
    "analysis": "由题意, 选 D.\n",
    "index": 0,
    "score": 5,
}


def asking(text: str, *answer: str) -> dict[str, Any]:
    return {**RECORD, "question": text, "answer": [*answer]}


def options_of(text: str) -> list[str]:
    (question,) = row_of(SHAPE, asking(text))["questions"]
    return [*question["options"]]


def test_options_on_lines_of_their_own_leave_the_question() -> None:
    assert row_of(SHAPE, RECORD) == {
        "questions": [
            {
                "question": "1. （5 分) 若 $A=\\{x \\mid x>0\\}$, 则 $f(A, B)=(\\quad)$",
                "options": ["$\\frac{1}{2}$", "$[0,2]$", "-1", "$\\{0,1\\}$"],
                "answer": "D",
                "analysis": "由题意, 选 D.\n",
            }
        ]
    }


@pytest.mark.parametrize(
    "text",
    [
        "Q?\nA. so\nB. very\nC. too\nD. rather",
        "Q?\nA. so B. very  C. too D. rather\n",
        "Q?\nA. so\tB. very\tC. too\tD. rather",
        "Q?\n  A. so B. very\nC. too    D. rather",
        "Q?\nA．so\nB．very\nC．too\nD．rather",
        "Q?\nＡ．so　Ｂ．very　Ｃ．too　Ｄ．rather",
        "Q?\nA、so\nB、very\nC、too\nD、rather",
        "Q?\n\nA.so\n\nB.very\n\nC. too D. rather",
        "Q?\nA . so\nB . very\nC . too\nD . rather",
    ],
)
def test_options_stand_on_lines_or_between_gaps(text: str) -> None:
    (question,) = row_of(SHAPE, asking(text))["questions"]
    assert question["question"] == "Q?"
    assert question["options"] == ["so", "very", "too", "rather"]


def test_options_may_follow_the_question_on_its_line() -> None:
    text = "我国最长的河流是（ ）A．长江 B．黄河\nC．珠江 D．淮河"
    (question,) = row_of(SHAPE, asking(text))["questions"]
    assert question["question"] == "我国最长的河流是（ ）"
    assert question["options"] == ["长江", "黄河", "珠江", "淮河"]


def test_initials_inside_an_option_open_no_option() -> None:
    lines = "Where?\nA. Rome\nB. Washington D. C. area\nC. Bern, A. D. 9\nD. a lab with E. coli"
    assert options_of(lines) == [
        "Rome",
        "Washington D. C. area",
        "Bern, A. D. 9",
        "a lab with E. coli",
    ]
    assert options_of("When? A. at 9 A.M.  B. at 9 P.M.  C. in 9 B.C.  D. now") == [
        "at 9 A.M.",
        "at 9 P.M.",
        "in 9 B.C.",
        "now",
    ]


def test_letters_in_the_question_open_no_option() -> None:
    text = "点 A. 在圆上, 角 A, B, C 的对边为 a\nA. 1\nB. 2"
    (question,) = row_of(SHAPE, asking(text))["questions"]
    assert question["question"] == "点 A. 在圆上, 角 A, B, C 的对边为 a"
    assert question["options"] == ["1", "2"]


def test_more_than_four_options_stand_on_lines() -> None:
    assert options_of("Q?\nA. 1\nB. 2\nC. 3\nD. 4\nE. 5\nF. 6\nG. 7") == [*"1234567"]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("1+1=?", 'must have its options in it, such as "A. .. B. ..", and has none'),
        (
            "P\n1. Q? A. 1 B. 2\n2. Q? A. 3 B. 4",
            "has the options of 2 questions; write each question as a row of its own",
        ),
        (
            "P\n1. Q? A. 1 B. 2\n2. Q?\nA. 3\nB. 4",
            "has the options of 2 questions; write each question as a row of its own",
        ),
        (
            "Q? A. x B. vitamin C. here C. y D. z",
            "has options that cannot be told apart (A, B, C, C, D); write each on a line of"
            " its own",
        ),
        (
            "Q?\nA. x\nB. y C. z D. w C. v",
            "has options that cannot be told apart (A, B, C, D, C); write each on a line of"
            " its own",
        ),
        (
            "Q?\nA. x\nC. y",
            "has options that cannot be told apart (A, C); write each on a line of its own",
        ),
        (
            "Q?\nA. x\nB.\nC. y",
            "option B has no text; if it is a picture, leave the row out",
        ),
        ("A. x\nB. y", 'must be a text that is not empty, is ""'),
    ],
)
def test_a_text_without_clear_options_is_refused(text: str, reason: str) -> None:
    assert fault_of(SHAPE, asking(text)) == ("question", reason)


def test_several_right_options_are_one_text() -> None:
    assert answer_in(SHAPE, {**RECORD, "answer": ["AC"]}) == ["A", "C"]


def test_several_keys_for_one_question_are_refused() -> None:
    place, reason = fault_of(SHAPE, {**RECORD, "answer": ["E", "B", "A"]})
    assert place == "answer"
    assert reason.startswith("has 3 keys, but the text has options for one question; ")


@pytest.mark.parametrize("key", ["E", "AA", "1"])
def test_a_key_that_is_no_option_is_refused(key: str) -> None:
    place, reason = fault_of(SHAPE, {**RECORD, "answer": [key]})
    assert place == "answer"
    assert reason.startswith("must be one or more of A, B, C, D, each once, is ")


@pytest.mark.parametrize("key", [[], None, [""]])
def test_an_empty_key_is_no_key(key: Any) -> None:
    assert answer_in(SHAPE, {**RECORD, "answer": key}) is None


def test_the_key_may_have_its_other_name() -> None:
    values = {name: value for name, value in RECORD.items() if name != "answer"}
    values["standard_answer"] = ["B"]
    assert SHAPE.fits(values)
    assert answer_in(SHAPE, values) == "B"
    assert SHAPE.filled(values, {}, ["A"]) == {**values, "standard_answer": ["A"]}


def test_the_analysis_must_be_a_text() -> None:
    assert fault_of(SHAPE, {**RECORD, "analysis": ["a"]})[0] == "analysis"
    (question,) = row_of(SHAPE, {**RECORD, "analysis": None})["questions"]
    assert "analysis" not in question


def test_the_answer_is_filled_in_as_a_list() -> None:
    assert SHAPE.filled(RECORD, {}, ["B"]) == {**RECORD, "answer": ["B"]}
    assert SHAPE.filled(RECORD, {}, ["BC"]) == {**RECORD, "answer": ["BC"]}
    assert SHAPE.filled(RECORD, {}, [None]) == {**RECORD, "answer": None}


def test_other_records_do_not_fit() -> None:
    assert SHAPE.fits(RECORD)
    assert SHAPE.fits({name: value for name, value in RECORD.items() if name != "answer"})
    assert not SHAPE.fits({"question": "Q?\nA. x\nB. y", "answer": "A"})
    assert SHAPE.fits({"question": "Q?\nA. x\nB. y", "answer": ["A"]})
    assert not SHAPE.fits({"question": "Q?"})
    assert not SHAPE.fits({"question": "Capital of France?", "answer": ["Paris"]})
    assert not SHAPE.fits({**RECORD, "options": ["x", "y"]})
    assert not SHAPE.fits({**RECORD, "answer": [1]})


OPTIONS = st.lists(
    st.text("$\\frac{1}{2}ABCD^ 或", min_size=1).map(str.strip).filter(bool), min_size=2, max_size=4
)


@given(options=OPTIONS, gap=st.sampled_from(["\n", "\n\n", "\t", "  "]), data=st.data())
def test_a_filled_record_is_read_with_its_answer(
    options: list[str], gap: str, data: st.DataObject
) -> None:
    lines = [f"{label}. {option}" for label, option in zip("ABCD", options, strict=False)]
    answer = data.draw(st.sampled_from("ABCD"[: len(options)]))
    values = asking("\n".join(["Q?", gap.join(lines)]))
    (question,) = row_of(SHAPE, SHAPE.filled(values, {}, [answer]))["questions"]
    assert (question["question"], question["options"]) == ("Q?", options)
    assert question["answer"] == answer
