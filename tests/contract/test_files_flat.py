"""Flat rows: which column is which part, how options and keys are written, what is refused."""

from pathlib import Path
from typing import Any

import pytest

from contract.files.columns import named
from contract.files.keys import letters_of, numbers_of, texts_of
from contract.files.option_lists import option_texts
from question_files import converted, csv_of, faults, json_lines, problems, questions, refusal

CITIES = ["Rome", "Oslo", "Bern", "Riga"]


def row(**changes: Any) -> dict[str, Any]:
    return {"question": "q", "options": CITIES, **changes}


def keys(folder: Path, *answers: Any, **reading: Any) -> list[str | None]:
    """How each answer is read, in a file of these answers."""
    rows = [row(answer=answer) for answer in answers]
    return [key for _, _, key in questions(folder, json_lines(rows), **reading)]


@pytest.mark.parametrize(
    ("question", "options", "answer"),
    [
        ("question", "choices", "answer"),
        ("Question Text", "OPTIONS", "Answer_Idx"),
        ("prompt", "endings", "label"),
        ("input", "Answer Choices", "target"),
        ("题目", "选项", "答案"),
        ("题干", "备选项", "正确答案"),
        ("ｑｕｅｓｔｉｏｎ", "candidates", "gold"),
        ("passage", "options", "cop"),
    ],
)
def test_fields_have_many_names(tmp_path: Path, question: str, options: str, answer: str) -> None:
    rows = [{question: "q", options: CITIES, answer: "C"}]
    assert questions(tmp_path, json_lines(rows)) == [("q", CITIES, "C")]


@pytest.mark.parametrize(
    "columns",
    [
        "A B C D",
        "a b c d",
        "option_a option_b option_c option_d",
        "Option A,Option B,Option C,Option D",
        "opa opb opc opd",
        "choice1 choice2 choice3 choice4",
        "ending0 ending1 ending2 ending3",
        "answerA answerB answerC answerD",
        "选项A 选项B 选项C 选项D",
        "A选项 B选项 C选项 D选项",
        "选项1 选项2 选项3 选项4",
    ],
)
def test_options_may_be_in_columns(tmp_path: Path, columns: str) -> None:
    names = columns.split(",") if "," in columns else columns.split()
    data = csv_of([["question", *names, "answer"], ["q", *CITIES, "D"]])
    assert questions(tmp_path, data) == [("q", CITIES, "D")]


def test_columns_with_a_gap_are_no_options() -> None:
    assert named(["question", "A", "B", "D"]).families == []
    assert named(["question", "B", "C"]).families == []
    assert named(["Q", "A", "B"]).families == [["A", "B"]]


def test_options_that_a_row_lacks_are_left_out(tmp_path: Path) -> None:
    rows = [["question", *"ABCD", "answer"], ["q", "x", "y", "", "", "B"], ["q", *CITIES, "A"]]
    assert questions(tmp_path, csv_of(rows)) == [("q", ["x", "y"], "B"), ("q", CITIES, "A")]


def test_an_empty_option_before_others_is_a_fault(tmp_path: Path) -> None:
    data = csv_of([["question", *"ABC"], ["q", "x", "", "z"], ["q", "", "", ""]])
    assert [str(fault) for fault in faults(tmp_path, data)] == [
        "line 2, B: is empty; it must be a text",
        "line 3, A: is empty; it must be a text",
    ]


@pytest.mark.parametrize(
    "value",
    [
        ["x", "y"],
        {"A": "x", "B": "y"},
        {"b": "y", "a": "x"},
        {"1": "x", "2": "y"},
        {"0": "x", "1": "y"},
        {"A": "x", "B": "y", "C": "", "D": None},
        [{"label": "A", "text": "x"}, {"label": "B", "text": "y"}],
        [{"key": "B", "text": "y"}, {"key": "A", "text": "x"}],
        {"text": ["x", "y"], "label": ["1", "2"]},
        '["x", "y"]',
        "['x', 'y']",
        "['x' 'y']",
        "['x'\n \"y\"]",
        "('x', 'y')",
        "{'A': 'x', 'B': 'y'}",
    ],
)
def test_lists_of_options_are_read_as_files_write_them(value: Any) -> None:
    assert option_texts(value) == ["x", "y"]


@pytest.mark.parametrize(
    "value",
    [None, 3, "x or y", "[x, y]", "['x'", {"x": "y"}, {"A": "x", "C": "y"}, [["x"]], "[" * 9999],
)
def test_what_is_no_list_of_options_is_not_guessed(value: Any) -> None:
    assert not option_texts(value)


@pytest.mark.parametrize(
    ("options", "place", "reason"),
    [
        (["x", "", "z"], "[1]", "is empty; it must be a text"),
        (["x", " "], "[1]", "is empty; it must be a text"),
        ({"A": "", "B": "y"}, "[0]", "is empty; it must be a text"),
        ('["x", "\\t"]', "[1]", "is empty; it must be a text"),
        (["x", None], "[1]", "is empty; it must be a text"),
        ([True, False], "[0]", "must be a text, is true"),
        (["x", ["y"]], "[1]", "must be a text, is a list of 1"),
        ([{"label": "A", "text": "x"}, {"label": "B", "text": {}}], "[1]", "must be a text, is an"),
    ],
)
def test_an_option_without_a_text_is_named(
    tmp_path: Path, options: Any, place: str, reason: str
) -> None:
    rows = [row(answer="A"), row(options=options, answer="A")]
    (fault,) = faults(tmp_path, json_lines(rows))
    assert str(fault).startswith(f"line 2, options{place}: {reason}")


def test_numbers_as_options_become_texts() -> None:
    assert option_texts([1, 2.5, "x"]) == ["1", "2.5", "x"]
    assert option_texts([True, None]) is None


@pytest.mark.parametrize(
    ("value", "labels"),
    [
        ("B", "B"),
        (" b ", "B"),
        ("Ｂ", "B"),
        ("(B)", "B"),
        ("B.", "B"),
        ("【B】", "B"),
        ("选项B", "B"),
        ("B项", "B"),
        ("答案：B", "B"),
        ("Option B", "B"),
        ("AC", "AC"),
        ("CA", "AC"),
        ("A,C", "AC"),
        ("A、C", "AC"),
        ("A and C", "AC"),
        ("['A', 'C']", "AC"),
        (["A", "C"], "AC"),
        (["c"], "C"),
        ("E", None),
        ("AE", None),
        ("AA", None),
        ("Rome", None),
        ("", None),
        (2, None),
    ],
)
def test_letters_are_read(value: Any, labels: str | None) -> None:
    assert letters_of(value, 4) == labels


def test_numbers_are_read() -> None:
    assert [numbers_of(one) for one in (2, 2.0, "2", " 2.0", "0,2", [0, 2], "0、2")] == [
        [2], [2], [2], [2], [0, 2], [0, 2], [0, 2],
    ]  # fmt: skip
    assert [numbers_of(one) for one in (2.5, "2nd", True, None, [], ["x"])] == [None] * 5 + [None]


def test_texts_are_found_with_and_without_their_letters() -> None:
    options = ["A. Rome", "B. Oslo"]
    assert [texts_of(one, options) for one in ("Oslo", "B. Oslo", " Rome ", "oslo")] == [
        "B", "B", "A", None,
    ]  # fmt: skip
    assert texts_of(["Rome", "Oslo"], options) == "AB"


def test_a_file_gives_its_keys_in_one_form(tmp_path: Path) -> None:
    assert keys(tmp_path, "c", "A", "(B)") == ["C", "A", "B"]
    assert keys(tmp_path, 0, 3, 1) == ["A", "D", "B"]
    assert keys(tmp_path, 4, 1, 2) == ["D", "A", "B"]
    assert keys(tmp_path, "4", "1") == ["D", "A"]
    assert keys(tmp_path, "Oslo", "Rome") == ["B", "A"]
    assert keys(tmp_path, ["A", "C"], ["B"]) == ["AC", "B"]
    assert keys(tmp_path, [0, 2], [1]) == ["AC", "B"]


def test_a_key_that_is_left_out_is_no_key(tmp_path: Path) -> None:
    assert keys(tmp_path, "A", "", None, " ", []) == ["A", None, None, None, None]
    assert keys(tmp_path, -1, 0, 2) == [None, "A", "C"]
    assert keys(tmp_path, None, None) == [None, None]


def test_minus_one_may_be_the_text_of_an_option(tmp_path: Path) -> None:
    header = ["question", "A", "B", "C", "D", "answer"]
    rows = (["-1", "0", "1", "2", "-1"], ["5", "6", "7", "8", "5"], ["5", "6", "7", "8", "-1"])
    table = csv_of([header, *(["q", *cells] for cells in rows)])
    assert [key for *_, key in questions(tmp_path, table)] == ["A", "A", None]


def test_keys_that_are_letters_and_other_texts_are_asked_about(tmp_path: Path) -> None:
    tied = [row(options=["DC", "AB", "BA"], answer="AB"), row(options=["C", "B", "A"], answer="A")]
    (fault,) = faults(tmp_path, json_lines(tied))
    assert str(fault) == (
        "line 1, answer: AB names option AB or B: the answers could be letters or texts of "
        "options; write the numbers of the options in all rows, and send index_base=0 or "
        "index_base=1"
    )
    numbers = json_lines([{**one, "answer": 0} for one in tied])
    assert [key for *_, key in questions(tmp_path, numbers, index_base=0)] == ["A", "A"]
    same = json_lines([row(options=["A", "B"], answer="B")])
    assert [key for *_, key in questions(tmp_path, same)] == ["B"]
    decided = json_lines([tied[1], row(answer="B"), row(answer="C")])
    assert [key for *_, key in questions(tmp_path, decided)] == ["A", "B", "C"]


def test_numbers_that_do_not_decide_are_asked_about(tmp_path: Path) -> None:
    rows = json_lines([row(answer=2), row(answer=1), row(answer=3)])
    said = refusal(tmp_path, rows)
    assert "numbers from 1 to 3" in said
    assert "send index_base=0 or index_base=1" in said
    assert keys(tmp_path, 2, 1, 3, index_base=0) == ["C", "B", "D"]
    assert keys(tmp_path, 2, 1, 3, index_base=1) == ["B", "A", "C"]


def test_numbers_that_contradict_each_other_are_refused(tmp_path: Path) -> None:
    rows = json_lines([row(answer=2), row(answer=0), row(answer=4)])
    assert [str(fault) for fault in faults(tmp_path, rows)] == [
        "line 2, answer: has a 0, and another answer is as high as its row has options, so the "
        "first option is neither 0 nor 1; send index_base=0 or index_base=1 to see which rows are "
        "wrong",
        "line 3, answer: is as high as its row has options",
    ]
    (fault,) = faults(tmp_path, rows, index_base=0)
    assert str(fault) == "line 3, answer: must be a number from 0 to 3, is 4"


def test_numbers_that_are_options_are_texts(tmp_path: Path) -> None:
    rows = [row(options=["1", "2", "3"], answer="2"), row(options=["7", "8", "9"], answer="9")]
    assert [key for *_, key in questions(tmp_path, json_lines(rows))] == ["B", "C"]


OUT_OF_ORDER = (
    "the options begin with their letters in the order B, A, C, so it is unclear which option a "
    "letter means; put them in order, or remove the letters"
)


def test_a_letter_for_options_with_other_letters_is_refused(tmp_path: Path) -> None:
    mixed, plain = ["B. y", "A. x", "C. z"], ["A. x", "B. y", "C. z"]
    rows = [row(options=plain, answer="A"), row(options=mixed, answer="A")]
    (fault,) = faults(tmp_path, json_lines(rows))
    assert str(fault) == f"line 2, options: {OUT_OF_ORDER}"
    (fault,) = faults(tmp_path, csv_of([["question", *"ABC", "answer"], ["q", *mixed, "C"]]))
    assert str(fault) == f"line 2, A: {OUT_OF_ORDER}"
    (fault,) = faults(tmp_path, json_lines([row(options=["(B)y", "(A)x"])]))  # will be answered
    assert "in the order B, A, so" in str(fault)


def test_other_keys_may_have_options_with_letters_out_of_order(tmp_path: Path) -> None:
    mixed = ["B. y", "A. x", "C. z"]
    for key in ("B. y", 0):
        assert questions(tmp_path, json_lines([row(options=mixed, answer=key)]))[0][2] == "A"
    names = ["A. Einstein", "M. Curie", "N. Bohr"]
    assert questions(tmp_path, json_lines([row(options=names, answer="B")]))[0][2] == "B"


def test_a_key_of_another_form_is_a_fault(tmp_path: Path) -> None:
    rows = json_lines([row(answer="A"), row(answer="Paris"), row(answer="B"), row(answer="E")])
    assert [str(fault) for fault in faults(tmp_path, rows)] == [
        'line 2, answer: must be a letter from A to D, is "Paris"',
        'line 4, answer: must be a letter from A to D, is "E"',
    ]
    rows = json_lines([row(answer="Rome"), row(answer="Paris"), row(answer="Oslo")])
    (fault,) = faults(tmp_path, rows)
    assert str(fault) == 'line 2, answer: must be the text of an option, is "Paris"'


def test_texts_analyses_and_ids_are_kept(tmp_path: Path) -> None:
    rows = [row(id=f"x{i}", context="p", explanation="why", answer="A") for i in range(2)]
    found = problems(tmp_path, json_lines(rows))
    assert [problem.id for problem in found] == ["x0", "x1"]
    assert (found[0].text, found[0].questions[0].analysis) == ("p", "why")


@pytest.mark.parametrize("ids", [("x", "y"), (None, None)])
def test_ids_that_are_whole_or_absent_need_no_word(tmp_path: Path, ids: tuple[str | None]) -> None:
    found, _ = converted(tmp_path, json_lines([row(id=one) for one in ids]))
    assert found is not None
    assert "numbers of lines" not in found.statement.text


@pytest.mark.parametrize("ids", [("x", "x"), ("x", None), ("x", ""), (None, "x")])
def test_ids_that_do_not_name_each_record_give_way_to_numbers(
    tmp_path: Path, ids: tuple[str | None, ...]
) -> None:
    data = json_lines([row(id=one) for one in ids])
    recognized, found = converted(tmp_path, data)
    assert [problem.id for problem in found] == ["1", "2"]
    assert recognized is not None
    told = ", ids repeat or are missing in part, so the ids are the numbers of lines"
    assert recognized.statement.text.endswith(told)
    table = csv_of([["qid", "question", "A", "B"], *([one, "q", "x", "y"] for one in ids)])
    assert [problem.id for problem in problems(tmp_path, table)] == ["2", "3"]


def test_a_column_named_id_has_the_ids(tmp_path: Path) -> None:
    rows = [row(idx=i, index=i + 5, ID=f"x{i}") for i in range(2)]
    assert [problem.id for problem in problems(tmp_path, json_lines(rows))] == ["x0", "x1"]
    rows = [row(index=i + 5) for i in range(2)]
    assert [problem.id for problem in problems(tmp_path, json_lines(rows))] == ["5", "6"]


def test_whole_numbers_with_a_point_are_ids(tmp_path: Path) -> None:
    data = json_lines([row(id=10.0), row(id=11.0)])
    assert [problem.id for problem in problems(tmp_path, data)] == ["10", "11"]
    data = json_lines([row(id=10.0), row(id=10.5)])
    assert [problem.id for problem in problems(tmp_path, data)] == ["1", "2"]


def test_the_files_of_mmlu_have_no_header(tmp_path: Path) -> None:
    data = csv_of([["What is 2, 3?", *CITIES, "C"], ["q", *CITIES, "A"]])
    assert questions(tmp_path, data) == [("What is 2, 3?", CITIES, "C"), ("q", CITIES, "A")]
    assert [problem.id for problem in problems(tmp_path, data)] == ["1", "2"]


def test_a_header_that_ends_in_a_letter_is_a_header(tmp_path: Path) -> None:
    data = csv_of([["id", "question", *"ABCD"], ["x", "q", *CITIES]])
    assert questions(tmp_path, data) == [("q", CITIES, None)]


@pytest.mark.parametrize(
    "text",
    [
        "序号,内容,A,B,C,D\n1,what?,x,y,z,A\n",
        "id,题目内容x,A,B,C,D\n1,q,x,y,z,w\n",
        "subject,type,text1,opt1,A\nmaths,one,q,x,y\n",
        "what,kind,first,last,A\nmaths,one,q,x,y\n",
        "content,option_a,option_b,C\nq,x,y,A\n",
    ],
)
def test_a_header_is_never_read_as_a_question(tmp_path: Path, text: str) -> None:
    assert "lacks question" in refusal(tmp_path, text.encode())


def test_options_that_are_letters_are_no_header(tmp_path: Path) -> None:
    data = csv_of([["Which angle is right?", *"ABCD", "B"], ["q", *CITIES, "A"]])
    assert [key for *_, key in questions(tmp_path, data)] == ["B", "A"]


@pytest.mark.parametrize("ids", [("1", "2"), ("q07", "q3"), ("math-1", "math-2")])
def test_files_without_a_header_may_begin_with_ids(tmp_path: Path, ids: tuple[str, str]) -> None:
    data = csv_of([[ids[0], "What?", *"xyzw", "B"], [ids[1], "Who?", *"xyzw", "A"]])
    assert questions(tmp_path, data) == [("What?", [*"xyzw"], "B"), ("Who?", [*"xyzw"], "A")]
    assert [problem.id for problem in problems(tmp_path, data)] == [*ids]


GPQA = ["Question", "Correct Answer", *(f"Incorrect Answer {i}" for i in (1, 2, 3)), "Explanation"]


def test_right_and_wrong_answers_in_columns_are_shuffled(tmp_path: Path) -> None:
    rows = [[f"q{i}", "right", "w1", "w2", "w3", "why"] for i in range(40)]
    rows += [[f"q{i}", f"right {i}", f"w{i}", f"v{i}", f"u{i}", ""] for i in range(40)]
    data = csv_of([GPQA, *rows])
    found, read = converted(tmp_path, data)
    assert found is not None
    assert "the first of them is right, shuffled" in found.statement.text
    for posted, problem in zip(rows, read, strict=True):
        (question,) = problem.questions
        assert sorted(question.options) == sorted(posted[1:5])
        assert question.options["ABCD".index(question.answer or "")] == posted[1]
        (made,) = problem.row["questions"]
        assert [posted[GPQA.index(c)] for c in made["option_columns"]] == made["options"]
    assert {problem.questions[0].answer for problem in read} == {*"ABCD"}
    assert read == problems(tmp_path, data)


def test_columns_can_be_mapped(tmp_path: Path) -> None:
    data = csv_of([["Frage", "eins", "zwei", "Lösung"], ["q", "x", "y", "B"]])
    said = refusal(tmp_path, data)
    assert "the first record has Frage, eins, zwei, Lösung, and lacks question and options" in said
    columns = {"question": "Frage", "A": "eins", "B": "zwei", "answer": "Lösung"}
    found, _ = converted(tmp_path, data, columns=columns)
    assert found is not None
    assert found.columns == columns
    assert questions(tmp_path, data, columns=columns) == [("q", ["x", "y"], "B")]


def test_a_map_of_what_is_not_there_is_refused(tmp_path: Path) -> None:
    data = json_lines([row()])
    said = refusal(tmp_path, data, columns={"question": "Frage"})
    assert said == "there is no column 'Frage'; there are question, options"
    said = refusal(tmp_path, data, columns={"title": "question"})
    assert "'title' is no part of a question; map question, options, A to Z, answer" in said
    said = refusal(tmp_path, data, columns={"question": "question", "id": "question"})
    assert "mapped to two parts" in said
    assert "without a gap" in refusal(tmp_path, data, columns={"B": "options"})


def test_two_columns_that_could_be_one_part_are_asked_about(tmp_path: Path) -> None:
    said = refusal(tmp_path, json_lines([row(prompt="p")]))
    assert "question, prompt could each be question; map one, as in question=question" in said
    said = refusal(tmp_path, json_lines([row(answer="A", label="B")]))
    assert "answer, label could each be answer" in said
    assert keys(tmp_path, "A") == ["A"]
    both = json_lines([row(answer="A", label="B")])
    assert questions(tmp_path, both, columns={"answer": "label"})[0][2] == "B"
    said = refusal(tmp_path, json_lines([row(A="x", B="y")]))
    assert "the options could be in options; A, B" in said


@pytest.mark.parametrize(
    ("names", "twin"), [("A B a", "a"), ("option_a optionB Option_A", "Option_A"), ("A B Ｂ", "Ｂ")]
)
def test_two_columns_of_one_option_are_refused(tmp_path: Path, names: str, twin: str) -> None:
    data = csv_of([["question", *names.split(), "answer"], ["q", "x", "y", "z", "A"]])
    said = refusal(tmp_path, data)
    assert f"could be the same option as {twin};" in said
    first, second, _ = names.split()
    mapped = {"A": first, "B": second}
    assert questions(tmp_path, data, columns=mapped) == [("q", ["x", "y"], "A")]


def test_a_column_without_values_is_no_candidate(tmp_path: Path) -> None:
    assert questions(tmp_path, json_lines([row(answer="A", label=None)]))[0][2] == "A"


def test_the_statement_says_what_was_read(tmp_path: Path) -> None:
    rows = [row(context="p", answer="Rome", explanation="why")]
    found, _ = converted(tmp_path, json_lines(rows))
    assert found is not None
    assert found.statement.text == (
        "read as flat rows (JSON lines): question from question, options from options, "
        "answer from answer, texts of options, text from context, analysis from explanation"
    )
    assert found.statement.code == "read-as"
