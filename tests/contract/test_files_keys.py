"""Which form the keys of a file have: all rows decide it, and what could be two things is named."""

from pathlib import Path
from typing import Any

import pytest

from contract.files.keys import Keys, labels_of, marks_of
from question_files import converted, csv_of, faults, json_lines, questions

CITIES = ["Rome", "Oslo", "Bern", "Riga"]
DIGITS = ["1", "2", "3", "4"]


def lines(*rows: tuple[list[Any], Any]) -> bytes:
    return json_lines([{"question": "q", "options": o, "answer": key} for o, key in rows])


def table(*rows: tuple[list[str], str]) -> bytes:
    return csv_of([["question", *"ABCD", "key"], *(["q", *options, key] for options, key in rows)])


def keys(folder: Path, data: bytes, **reading: Any) -> list[str | None]:
    return [key for *_, key in questions(folder, data, **reading)]


def told(folder: Path, data: bytes, **reading: Any) -> list[str]:
    return [str(fault) for fault in faults(folder, data, **reading)]


def test_numbers_that_only_fit_as_texts_are_texts(tmp_path: Path) -> None:
    assert keys(tmp_path, lines(([3, 5, 7], 5), ([1, 2, 3], 2))) == ["B", "B"]
    assert keys(tmp_path, lines(([3, 5, 7], 7.0), ([4, 2, 0], 0))) == ["C", "C"]
    assert keys(tmp_path, table((["5", "6", "7", "8"], "8"), (DIGITS, "2"))) == ["D", "B"]


def test_numbers_that_only_fit_as_numbers_are_numbers(tmp_path: Path) -> None:
    rows = [(CITIES, n) for n in (0, 1, 2, 3)]
    assert keys(tmp_path, lines(*rows, (["0", "4", "2", "6"], 2))) == [*"ABCD", "C"]
    assert keys(tmp_path, table(*((o, str(n)) for o, n in rows), (DIGITS, "2"))) == [*"ABCD", "C"]


def test_numbers_that_fit_both_ways_are_asked_about(tmp_path: Path) -> None:
    data = lines(([0, 1, 2], 1), ([1, 2, 0], 0))
    assert told(tmp_path, data) == [
        "line 2, answer: 0 names option C or A: the answers could be texts of options or numbers "
        "of options; send index_base=0 or index_base=1 if they are numbers, or write letters in "
        "all rows"
    ]
    assert keys(tmp_path, data, index_base=0) == ["B", "A"]
    (fault,) = faults(tmp_path, table((DIGITS, "2"), (DIGITS, "3")))
    assert (fault.line, fault.place) == (2, "key")


def test_numbers_that_name_the_same_options_both_ways_are_read(tmp_path: Path) -> None:
    assert keys(tmp_path, lines(([1, 2, 3, 4], 4), ([1, 2, 3, 4], 2))) == ["D", "B"]


def test_one_odd_row_does_not_change_what_the_others_mean(tmp_path: Path) -> None:
    same = [(DIGITS, "2")] * 5
    first, second = told(tmp_path, table(*same, (DIGITS, "0")))
    assert first.startswith("line 2, key: 2 names option B or C: the answers could be texts of")
    assert second == "line 7, key: 0 does not fit if the answers are texts of options"
    first, second = told(tmp_path, table(*same, (["7", "8", "9", "10"], "7")))
    assert second == "line 7, key: 7 does not fit if the answers are numbers of options"
    high = [(["7", "8", "9", "10"], "9")] * 5
    assert told(tmp_path, table(*high, (CITIES, "2"))) == [
        'line 7, key: must be the text of an option, is "2"'
    ]
    low = [(CITIES, "0")] * 5
    assert told(tmp_path, table(*low, (["7", "8", "9", "10"], "7"))) == [
        'line 7, key: must be a number from 0 to 3, is "7"'
    ]


def test_a_text_among_letters_is_read_if_it_is_nothing_else(tmp_path: Path) -> None:
    letters = [(CITIES, "A")] * 3
    assert keys(tmp_path, table(*letters, (CITIES, "Bern"))) == ["A", "A", "A", "C"]
    assert keys(tmp_path, table(*letters, (["5", "6", "7", "8"], "7"))) == ["A", "A", "A", "C"]
    assert told(tmp_path, table(*letters, (DIGITS, "2"))) == [
        "line 5, key: 2 is the text of option B, and could be the number of an option too; write B"
    ]
    assert told(tmp_path, table(*letters, (["AC", "AD", "BC", "BD"], "AC"))) == [
        "line 5, key: AC is the text of option A, and could be several letters too; write A"
    ]


def test_a_letter_among_letters_is_a_letter(tmp_path: Path) -> None:
    letters = [(CITIES, "A")] * 3
    assert keys(tmp_path, table(*letters, ([*"DCBA"], "B"))) == ["A", "A", "A", "B"]


def test_a_letter_among_texts_is_a_fault(tmp_path: Path) -> None:
    texts = [(CITIES, "Rome")] * 3
    assert told(tmp_path, table(*texts, (CITIES, "B"))) == [
        'line 5, key: must be the text of an option, is "B"'
    ]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ([0, 1], [1, 0]),
        ([0.0, 1.0], [1.0, 0.0]),
        ([False, True], [True, False]),
        ("[0, 1]", "[1, 0]"),
        ("[False, True]", "[True, False]"),
        ("0,1", "1,0"),
        (["0", "1"], ["1", "0"]),
    ],
)
def test_a_mark_for_each_option_is_read(tmp_path: Path, first: Any, second: Any) -> None:
    data = lines((["x", "y"], first), (["x", "y"], second))
    assert keys(tmp_path, data) == ["B", "A"]
    found, _ = converted(tmp_path, data)
    assert found is not None
    assert found.statement.text.endswith("answer from answer, a mark for each option")


def test_marks_are_told_from_lists_of_numbers(tmp_path: Path) -> None:
    marked = lines((["x", "y"], [0, 1]), (CITIES, [0, 1, 0, 1]))
    assert keys(tmp_path, marked) == ["B", "BD"]
    listed = [(["x", "y"], [0, 1]), *[(CITIES, [0, 3])] * 4]
    assert keys(tmp_path, lines(*listed)) == ["AB", *["AD"] * 4]
    assert keys(tmp_path, lines((["x", "y"], [0, 1])), index_base=0) == ["AB"]
    first, *_ = told(tmp_path, lines(*[(["x", "y"], [0, 1])] * 3, (CITIES, [3])))
    assert "line 1, answer: [0, 1] names option AB or B: the answers could be numbers of" in first


def test_marks_without_a_right_option_are_a_fault(tmp_path: Path) -> None:
    right = [(CITIES, [0, 1, 0, 0])] * 3
    wanted = (
        "must be a list of 4 marks, 1 or true for each right option and 0 or false for the others"
    )
    assert told(tmp_path, lines(*right, (CITIES, [0, 0, 0, 0]), (CITIES, [0, 1]))) == [
        f"line 4, answer: {wanted}, is a list of 4",
        f"line 5, answer: {wanted}, is a list of 2",
    ]
    assert marks_of([1], 1) is None
    assert marks_of([0, 2], 2) is None


def test_a_text_of_two_options_is_refused_with_both_letters(tmp_path: Path) -> None:
    twins = ["Rome", "Oslo", "Oslo", "Riga"]
    said = (
        "Oslo is the text of the options B, C; give them different texts, or write letters in "
        "all rows"
    )
    assert told(tmp_path, table((twins, "Rome"), (twins, "Oslo"))) == [f"line 3, key: {said}"]
    assert told(tmp_path, table(*[(CITIES, "A")] * 3, (twins, "Oslo"))) == [f"line 5, key: {said}"]
    assert keys(tmp_path, table((twins, "B"), (twins, "C"))) == ["B", "C"]
    lettered = ["A. Oslo", "B. Oslo"]
    assert labels_of("B. Oslo", lettered, Keys("text")) == "B"
    assert labels_of("Oslo", lettered, Keys("text")) is None


LONG = "x" * 200_001


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([["Question Text", "opt a", "opt b"], ["q", "x", LONG]], "line 2, opt b: must have at"),
        ([["Question Text", "A", "B"], [LONG, "x", "y"]], "line 2, Question Text: must have at"),
        ([["q", "A", "B", "context"], ["q", "x", "y", LONG]], "line 2, context: must have at most"),
        ([["q", "choices"], ["q", ["x", LONG]]], "line 2, choices[1]: must have at most"),
        ([["q", "choices"], ["q", ["x"] * 27]], "line 2, choices: must be a list of 1 to 26"),
        ([["q", *(f"opt{i}" for i in range(27))], ["q"] * 28], "line 2, opt0 to opt26: must be a"),
        ([["q", "correct", "wrong1"], ["q", "x", LONG]], "line 2, wrong1: must have at most"),
        ([["q", "A", "B", "No"], ["q", "x", "y", ""], ["q", "x", LONG, "7"]], "line 3, B: must"),
    ],
)
def test_faults_name_the_files_own_columns(tmp_path: Path, rows: list[Any], said: str) -> None:
    (fault,) = told(tmp_path, csv_of(rows))
    assert fault.startswith(said)
