"""JSON lines, JSON documents and tables give the same records, numbered as people count."""

import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from contract import ProblemFileError
from contract.files.converting import MOST_FAULTS, convert
from contract.files.documents import MOST_BYTES as MOST_DOCUMENT_BYTES
from contract.files.shapes import Reading
from question_files import (
    FLAT,
    converted,
    csv_of,
    faults,
    json_lines,
    problems,
    questions,
    refusal,
)

OURS = [
    {"id": "a", "problem": "p", "questions": [{"question": "q", "options": ["x", "y"]}]},
    {"id": "b", "questions": [{"question": "q", "options": ["x", "y"], "answer": ["A", "B"]}]},
]
SAME = [("2 + 2?", ["3", "4", "5"], "B"), ("首都？", ["北京", "上海", "广州"], "A")]
HEADER = ["question", "A", "B", "C", "answer"]
ROWS = [[row["question"], *row["choices"], row["answer"]] for row in FLAT]


def as_json(value: Any, indent: int | None = None) -> bytes:
    return json.dumps(value, ensure_ascii=False, indent=indent).encode()


def pretty(rows: list[dict[str, Any]]) -> bytes:
    return b"\n".join(as_json(row, 2) for row in rows)


@pytest.mark.parametrize(
    ("data", "container", "told"),
    [
        (json_lines(FLAT), "json-lines", "JSON lines"),
        (json_lines(FLAT).replace(b"\n", b"\r\n\r\n"), "json-lines", "JSON lines"),
        (as_json(FLAT), "json-array", "a JSON array"),
        (as_json(FLAT, 4), "json-array", "a JSON array"),
        (b"[\n" + b",\n".join(map(as_json, FLAT)) + b"\n]\n", "json-array", "a JSON array"),
        (b"[" + b",\n".join(map(as_json, FLAT)) + b"]", "json-array", "a JSON array"),
        (b"  \n" + pretty(FLAT), "json-objects", "JSON objects"),
        (as_json({"about": "x", "data": FLAT}), "json-object", "the list data of a JSON object"),
        (as_json({"examples": FLAT}, 2), "json-object", "the list examples of a JSON object"),
        (csv_of([HEADER, *ROWS]), "table", "CSV"),
        (csv_of([HEADER, *ROWS], "\t"), "table", "TSV"),
        (csv_of([HEADER, *ROWS], ";"), "table", "CSV with ;"),
        (csv_of([["", *HEADER], *([i, *row] for i, row in enumerate(ROWS))]), "table", "CSV"),
    ],
)
def test_every_container_gives_the_same_questions(
    tmp_path: Path, data: bytes, container: str, told: str
) -> None:
    assert questions(tmp_path, data) == SAME
    found, _ = converted(tmp_path, data)
    assert found is not None
    assert (found.container, found.records, found.shape) == (container, 2, "flat")
    assert found.statement.text.startswith(f"read as flat rows ({told}): question from question")


def test_our_own_rows_in_json_lines_stay_as_they_are(tmp_path: Path) -> None:
    assert converted(tmp_path, json_lines(OURS))[0] is None
    assert converted(tmp_path, json_lines(OURS[:1]))[0] is None


def test_faults_of_our_own_rows_are_left_to_their_reader(tmp_path: Path) -> None:
    (fault,) = [*faults_of_lines(tmp_path, json_lines([*OURS, {"id": "c", "problem": "p"}]))]
    assert fault == "line 3, questions: is missing; it must be a list with at least one question"


def faults_of_lines(folder: Path, data: bytes) -> list[str]:
    with pytest.raises(ValueError, match="questions") as caught:
        converted(folder, data)
    return [str(caught.value)]


@pytest.mark.parametrize("data", [as_json(OURS), as_json(OURS, 2), pretty(OURS)])
def test_our_own_rows_in_a_document_become_lines(tmp_path: Path, data: bytes) -> None:
    found, read = converted(tmp_path, data)
    assert found is not None
    assert found.shape == "quorum"
    assert [problem.row for problem in read] == OURS


def test_a_pretty_printed_row_of_ours_is_one_record(tmp_path: Path) -> None:
    assert [problem.id for problem in problems(tmp_path, as_json(OURS[0], 2))] == ["a"]


def test_a_missing_id_of_ours_becomes_the_rows_number(tmp_path: Path) -> None:
    rows = [OURS[0], {"questions": OURS[1]["questions"]}]
    assert [problem.id for problem in problems(tmp_path, as_json(rows))] == ["a", "2"]


def test_rows_of_an_array_are_counted(tmp_path: Path) -> None:
    rows = [OURS[0], {**OURS[0]}, {"id": "c", "questions": []}, 7]
    told = [str(fault) for fault in faults(tmp_path, as_json(rows, 2))]
    assert told == [
        "row 2, id: 'a' is the id of row 1 too; ids must differ",
        "row 3, questions: must be a list with at least one question, is a list of 0",
        "row 4: must be a JSON object, is 7",
    ]


def test_objects_one_after_another_are_named_by_line(tmp_path: Path) -> None:
    data = pretty([OURS[0], {"id": "b", "questions": []}])
    first = as_json(OURS[0], 2).count(b"\n") + 1
    assert str(faults(tmp_path, data)[0]).startswith(f"line {first + 1}, questions: must be")


def test_json_that_breaks_off_is_refused_with_its_line(tmp_path: Path) -> None:
    (fault,) = faults(tmp_path, as_json(OURS, 2)[:-30])
    assert fault.unit == "line"
    assert fault.line > 15
    assert "not JSON" in fault.reason


def test_json_that_cannot_be_kept_is_refused_with_its_row(tmp_path: Path) -> None:
    data = as_json(OURS).replace(b'"id": "b"', b'"id": "b", "n": 1e999')
    (fault,) = faults(tmp_path, data)
    assert str(fault).startswith("row 2, n: 1e999 would become infinity")
    (fault,) = faults(tmp_path, as_json({"data": OURS}).replace(b'"id": "b"', b'"id": NaN'))
    assert (fault.line, fault.place, fault.unit) == (2, "id", "row")


def test_an_object_with_several_lists_is_refused(tmp_path: Path) -> None:
    said = refusal(tmp_path, as_json({"train": FLAT, "test": FLAT}, 2))
    assert "several lists of records: train, test" in said


@pytest.mark.parametrize("data", [b"", b"  \n\n", b"\xef\xbb\xbf", b"[]", csv_of([HEADER])])
def test_a_file_without_records_is_refused(tmp_path: Path, data: bytes) -> None:
    assert "empty" in refusal(tmp_path, data) or "no rows" in refusal(tmp_path, data)


def test_a_text_that_is_no_table_is_refused(tmp_path: Path) -> None:
    said = refusal(tmp_path, b"Dear examiner,\n\nhere are the questions, as you asked.\nBye\n")
    assert said.startswith("is neither JSON nor a table: send JSON lines")


def test_lines_in_quotes_do_not_shift_the_numbers(tmp_path: Path) -> None:
    rows = [HEADER, ["one\ntwo\n\nthree", "x", "y", "z", "A"], ["", "x", "y", "z", "B"]]
    (fault,) = faults(tmp_path, csv_of(rows))
    assert str(fault) == "line 6, question: is empty; it must be a text"


def test_a_ragged_row_is_a_fault_of_its_line(tmp_path: Path) -> None:
    data = csv_of([HEADER, *ROWS, ["q", "x", "y"], *ROWS, ["q", *"vwxyz", "A"]])
    told = [str(fault) for fault in faults(tmp_path, data)]
    assert [one.split(";")[0] for one in told] == [
        "line 4: has 3 cells, the first row has 5",
        "line 7: has 7 cells, the first row has 5",
    ]


def test_a_quote_without_its_end_is_a_fault_of_its_line(tmp_path: Path) -> None:
    data = csv_of([HEADER, *ROWS]) + b'"never ends,x,y,z,A\n' + csv_of(ROWS)
    (fault,) = faults(tmp_path, data)
    assert fault.line == 4
    assert "not readable up to line 6" in fault.reason


def test_two_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    data = csv_of([["question", "A", "B", "A"], ["q", "x", "y", "z"]])
    assert "two columns are named A" in refusal(tmp_path, data)


def test_a_comma_in_a_text_does_not_change_the_delimiter(tmp_path: Path) -> None:
    rows = [["question", "A", "B"], ["one, two, three", "x, y", "z"], ["four", "a", "b"]]
    for delimiter in ("\t", ";", "|"):
        assert len(questions(tmp_path, csv_of(rows, delimiter))) == 2


def test_the_line_that_names_the_delimiter_is_no_row(tmp_path: Path) -> None:
    data = b"sep=;\r\n" + csv_of([HEADER, *ROWS, ["", "x", "y", "z", "A"]], ";")
    (fault,) = faults(tmp_path, data)
    assert str(fault) == "line 5, question: is empty; it must be a text"
    data = b"\xef\xbb\xbfsep=|\n" + csv_of([HEADER, *ROWS], "|")
    assert questions(tmp_path, data) == SAME


def test_the_first_twenty_faults_are_told_and_all_are_counted(tmp_path: Path) -> None:
    data = csv_of([HEADER, *ROWS, *[["", "x", "y", "z", "A"]] * 30])
    with pytest.raises(ValueError, match="29 more") as caught:
        converted(tmp_path, data)
    assert len(getattr(caught.value, "faults", ())) == 20


def test_faults_are_counted_until_reading_stops(tmp_path: Path) -> None:
    lines = b"question,A,B\n" + b"q,,x\n" * (MOST_FAULTS + 1)
    with pytest.raises(
        ProblemFileError, match="and at least 9999 more: reading stopped there"
    ) as e:
        converted(tmp_path, lines)
    assert (e.value.total, e.value.stopped) == (MOST_FAULTS, True)
    with pytest.raises(ProblemFileError) as e:
        converted(tmp_path, b"question,A,B\n" + b"q,,x\n" * 3)
    assert (e.value.total, e.value.stopped) == (3, False)


def test_spaces_in_cells_are_kept(tmp_path: Path) -> None:
    data = b"question,A,B,answer\n q , x,  y ,A\nq,x,y,B\n"
    assert questions(tmp_path, data) == [(" q ", [" x", "  y "], "A"), ("q", ["x", "y"], "B")]
    data = b'question,A,B\nq," ""x"", y",z\n'
    assert questions(tmp_path, data) == [("q", [' "x", y', "z"], None)]


def test_spaces_after_all_commas_are_no_part_of_the_cells(tmp_path: Path) -> None:
    data = b'question, A, B, answer\n"q, r",  x, "y, ""z,w""\n,v", B\nq, x, y, A\n'
    read = [("q, r", ["x", 'y, "z,w"\n,v'], "B"), ("q", ["x", "y"], "A")]
    assert questions(tmp_path, data) == read
    data = b'question, A, B, answer\nq, "x, y", z, A\nq, x,y, A\n'
    (fault,) = faults(tmp_path, data)
    assert str(fault) == (
        "line 2: has a space between , and a quote, and not all cells have one; remove it"
    )


def test_a_bad_line_among_json_lines_is_a_fault_of_its_line(tmp_path: Path) -> None:
    data = json_lines(FLAT) + b"{oops\n" + json_lines([FLAT[0]])
    (fault,) = faults(tmp_path, data)
    assert str(fault).startswith("line 3: not JSON: Expecting property name")


def test_a_text_of_eight_lines_a_question_is_read(tmp_path: Path) -> None:
    data = "\n".join(["", "b", "text", "question?", "A.x", "B.y", "C.z", "D.w"]) + "\n"
    found, read = converted(tmp_path, data.encode())
    assert found is not None
    assert (found.shape, found.container) == ("logiqa1", "text")
    assert (read[0].text, read[0].questions[0].answer) == ("text", "B")


@pytest.mark.parametrize(
    "text",
    [
        "| question | A | B |\n|---|---|---|\n| q | x | y |\n",
        "question | A | B\n:-- | :-: | --:\nq | x | y\n",
        " question | A | B \n----------+---+---\n q | x | y \n",
    ],
)
def test_tables_drawn_with_lines_are_refused_by_name(tmp_path: Path, text: str) -> None:
    said = refusal(tmp_path, text.encode())
    assert said == "is a table drawn with lines, as in Markdown; send it as CSV or JSON lines"


def test_a_drawn_table_in_a_question_is_text(tmp_path: Path) -> None:
    drawn = "| a | b |\n|---|---|\n| 1 | 2 |"
    data = csv_of([["question", "A", "B"], [drawn, "x", "y"]])
    assert questions(tmp_path, data) == [(drawn, ["x", "y"], None)]


def test_a_document_that_needs_much_memory_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "posted"
    source.write_bytes(b"[" + b" " * MOST_DOCUMENT_BYTES + b"]")
    with pytest.raises(ProblemFileError, match="may have 32 MiB at most; write JSON lines"):
        convert(source, tmp_path / "rows", Reading(), most_bytes=1 << 30)
    tracemalloc.start()
    with pytest.raises(ProblemFileError) as caught:
        converted(tmp_path, b"[" + b"[]," * 300_000 + b"[]]")
    assert len(caught.value.faults) == 20
    assert tracemalloc.get_traced_memory()[1] < 40 << 20
    tracemalloc.stop()
