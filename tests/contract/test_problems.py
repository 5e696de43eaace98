import json

import pytest

from contract import FileFault, ProblemFileError, parse_problems

GOOD = {"id": "a", "problem": "p", "questions": [{"question": "q", "options": ["x", "y"]}]}


def line(**changes: object) -> bytes:
    return json.dumps({**GOOD, **changes}, ensure_ascii=False).encode()


def question(**changes: object) -> list[dict[str, object]]:
    return [{"question": "q", "options": ["x", "y"], **changes}]


def faults(data: bytes) -> list[FileFault]:
    with pytest.raises(ProblemFileError) as caught:
        parse_problems(data)
    return caught.value.faults


def test_a_byte_order_mark_crlf_and_blank_lines_are_accepted() -> None:
    data = b"\xef\xbb\xbf" + line(id="a") + b"\r\n\r\n  \n" + line(id="b") + b"\r\n"
    assert [problem.id for problem in parse_problems(data)] == ["a", "b"]


def test_a_missing_id_becomes_the_lines_number() -> None:
    row = {key: value for key, value in GOOD.items() if key != "id"}
    data = b"\n" + json.dumps(row).encode()
    assert parse_problems(data)[0].id == "2"
    assert parse_problems(data)[0].row["id"] == "2"


def test_other_keys_are_kept() -> None:
    assert parse_problems(line(source={"year": 2024}))[0].row["source"] == {"year": 2024}


def test_a_line_separator_inside_a_text_does_not_end_the_line() -> None:
    assert (
        parse_problems(line(problem="one\u2028two\u0085three"))[0].text == "one\u2028two\u0085three"
    )


BROKEN = [
    (b"{not json}", "", "not JSON"),
    (b"[1, 2]", "", "must be a JSON object, is a list of 2; write each row as one JSON object on"),
    (b"[", "", "not JSON: Expecting value at column 2; write each row as one JSON"),
    (b'{"a": "\x00"}', "", "not JSON: Invalid control character at column 8; write each row"),
    (b'"text"', "", "must be a JSON object"),
    (line(problem=" "), "problem", 'a non-empty string (or be left out), is " "'),
    (line(problem=""), "problem", 'a non-empty string (or be left out), is ""'),
    (line(problem=None), "problem", "or be left out), is null"),
    (line(problem=7), "problem", "must be a non-empty string (or be left out), is 7"),
    (line(id=""), "id", "must be a non-empty string or a whole number"),
    (line(id=True), "id", "must be a non-empty string or a whole number"),
    (line(questions=[]), "questions", "a list with at least one question"),
    (line(questions=["q"]), "questions[0]", "must be a JSON object"),
    (line(questions=[{"question": "q"}]), "questions[0].options", "is missing"),
    (line(questions=question(options=[])), "questions[0].options", "a list of 1 to 26 strings"),
    (line(questions=question(options=["x"] * 27)), "questions[0].options", "is a list of 27"),
    (
        line(questions=question(options=["x", 2])),
        "questions[0].options[1]",
        "must be a string, is 2",
    ),
    (
        line(questions=question(answer="C")),
        "questions[0].answer",
        'one of A, B, or a list of different ones (or be left out), is "C"',
    ),
    (line(questions=question(answer="AB")), "questions[0].answer", 'is "AB"'),
    (line(questions=question(answer="")), "questions[0].answer", 'is ""'),
    (line(questions=question(answer=["A", "C"])), "questions[0].answer", 'is ["A", "C"]'),
    (line(questions=question(answer=["A", "A"])), "questions[0].answer", 'is ["A", "A"]'),
    (line(questions=question(answer=["AB"])), "questions[0].answer", 'is ["AB"]'),
    (line(questions=question(answer=["A", ["B"]])), "questions[0].answer", 'is ["A", ["B"]]'),
    (line(questions=question(answer=["A", None])), "questions[0].answer", 'is ["A", null]'),
    (line(questions=question(answer={"A": 1})), "questions[0].answer", "is an object"),
    (line(questions=question(answer=1)), "questions[0].answer", "must be one of A, B"),
    (line(questions=question(question="")), "questions[0].question", "must be a non-empty string"),
    (b'{"id": "\xff"}', "", "not UTF-8: byte 0xff at byte 9 of the line"),
    ('{"id": "中"}'.encode("gbk"), "", "not UTF-8"),
    (
        b'{"id": "\\ud800", "problem": "p", "questions": [{"question": "q", "options": ["x"]}]}',
        "id",
        "surrogate",
    ),
    (line(extra={"score": float("nan")}), "extra.score", "NaN is no JSON"),
    (line(extra=[1]).replace(b"[1]", b"[1e999]"), "extra[0]", "would become infinity"),
    (line(extra=0).replace(b"0}", b'0, "extra": 1}'), "extra", "stands twice"),
    (
        line(questions=question(answer="A")).replace(b'"answer"', b'"answer": "B", "answer"'),
        "questions[0].answer",
        "stands twice",
    ),
    (b"[" * 100_000, "", "not usable: nested too deeply"),
]


@pytest.mark.parametrize(("broken", "place", "reason"), BROKEN)
def test_a_fault_is_reported_with_line_place_and_reason(
    broken: bytes, place: str, reason: str
) -> None:
    (fault,) = faults(line(id="first") + b"\n" + broken)
    assert (fault.line, fault.place) == (2, place)
    assert reason in fault.reason


def test_a_repeated_id_names_both_lines() -> None:
    (fault,) = faults(line(id="a") + b"\n" + line(id="b") + b"\n" + line(id="a"))
    assert str(fault) == "line 3, id: 'a' is the id of line 1 too; ids must differ"
    assert (fault.reason.code, fault.reason.params) == ("repeated-id", {"id": "a", "line": 1})


def test_a_number_and_its_text_are_the_same_id() -> None:
    assert faults(line(id=7) + b"\n" + line(id="7"))[0].place == "id"


@pytest.mark.parametrize("data", [b"", b"\n\n", b"\xef\xbb\xbf"])
def test_a_file_without_rows_is_a_fault(data: bytes) -> None:
    assert "no rows" in faults(data)[0].reason


def test_twenty_faults_are_kept_and_all_are_counted() -> None:
    with pytest.raises(ProblemFileError) as caught:
        parse_problems(b"{}\n" * 50)
    assert len(caught.value.faults) == 20
    assert caught.value.total == 50
    assert str(caught.value).startswith("line 1, questions: is missing")


def test_a_problem_without_a_text_is_accepted_as_posted() -> None:
    row = {key: value for key, value in GOOD.items() if key != "problem"}
    (problem,) = parse_problems(json.dumps(row).encode())
    assert (problem.text, problem.row) == ("", row)


@pytest.mark.parametrize(
    ("answer", "key"),
    [
        ("B", "B"),
        (["B"], "B"),
        (["A", "C"], "AC"),
        (["C", "A"], "AC"),
        (["C", "B", "A"], "ABC"),
        ([], None),
        (None, None),
    ],
)
def test_an_answer_may_be_a_list_of_labels(answer: object, key: str | None) -> None:
    (problem,) = parse_problems(line(questions=question(options=["x", "y", "z"], answer=answer)))
    assert problem.questions[0].answer == key
    assert problem.row["questions"][0]["answer"] == answer
