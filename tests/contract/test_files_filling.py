"""The posted file comes back with answers in it, and nothing else changed."""

import gzip
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb
import pytest

from contract.files.converting import Recognized
from contract.files.filling import write_filled
from contract.files.known import SHAPES
from contract.files.shapes import Reading, Record
from question_files import converted, csv_of, json_lines

ROWS = [
    {"question": "q", "choices": ["x", "y", "z"], "answer": "B", "n": 1.5, "note": None},
    {"question": "题", "choices": ["x", "y", "z"], "answer": "A", "n": 2, "note": "é"},
]


def filled(
    folder: Path, data: bytes, answers: Sequence[Sequence[str | None]], **reading: Any
) -> bytes:
    found, _ = converted(folder, data, **reading)
    assert found is not None
    kept = Recognized.model_validate_json(found.model_dump_json())
    target = io.BytesIO()
    write_filled(folder / "posted", kept, iter(answers), target)
    return target.getvalue()


def as_json(value: Any, indent: int | None = None) -> bytes:
    return json.dumps(value, ensure_ascii=False, indent=indent).encode() + b"\n"


EXPECTED = [{**ROWS[0], "answer": "C"}, {**ROWS[1], "answer": ""}]
ANSWERS: list[list[str | None]] = [["C"], [None]]


@pytest.mark.parametrize("indent", [None, 2, 4])
def test_json_comes_back_in_its_form(tmp_path: Path, indent: int | None) -> None:
    for wrap in (lambda rows: rows, lambda rows: {"about": {"x": 1}, "data": rows, "end": 0}):
        data = filled(tmp_path, as_json(wrap(ROWS), indent), ANSWERS)
        assert data == as_json(wrap(EXPECTED), indent)


def test_json_lines_come_back(tmp_path: Path) -> None:
    assert filled(tmp_path, json_lines(ROWS), ANSWERS) == json_lines(EXPECTED)
    marked = b"\xef\xbb\xbf" + json_lines(ROWS)
    assert filled(tmp_path, marked, ANSWERS) == b"\xef\xbb\xbf" + json_lines(EXPECTED)


def test_objects_one_after_another_come_back(tmp_path: Path) -> None:
    data = b"".join(as_json(row, 2) for row in ROWS)
    assert filled(tmp_path, data, ANSWERS) == b"".join(as_json(row, 2) for row in EXPECTED)


def test_a_packed_file_comes_back_unpacked(tmp_path: Path) -> None:
    assert filled(tmp_path, gzip.compress(json_lines(ROWS)), ANSWERS) == json_lines(EXPECTED)


@pytest.mark.parametrize("delimiter", [",", "\t", ";"])
@pytest.mark.parametrize("codec", ["utf-8", "utf-8-sig", "gbk", "utf-16"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_a_table_comes_back_in_its_encoding(
    tmp_path: Path, delimiter: str, codec: str, newline: str
) -> None:
    rows = [
        ["", "题目", "A", "B", "答案", "来源"],
        ["0", "下列哪一项正确，请选择", "x,y;z", "第一行\n第二行", "A", '"引"'],
        ["1", "首都", "北京", "上海", "B", ""],
    ]
    read = {} if codec.startswith("utf-8") else {"encoding": codec}
    text = csv_of(rows, delimiter).decode().replace("\r\n", newline)
    data = filled(tmp_path, text.encode(codec), [["B"], ["A"]], **read)
    rows[1][4], rows[2][4] = "B", "A"
    expected = csv_of(rows, delimiter).decode().replace("\r\n", newline)
    assert data.decode(codec) == expected
    assert data[:3] == expected.encode(codec)[:3]


def test_a_file_without_keys_gets_a_column_of_answers(tmp_path: Path) -> None:
    data = csv_of([["question", "A", "B"], ["q", "x", "y"], ["r", "x", "y"]])
    expected = [["question", "A", "B", "answer"], ["q", "x", "y", "B"], ["r", "x", "y", ""]]
    assert filled(tmp_path, data, [["B"], [None]]) == csv_of(expected)
    rows = [{"question": "q", "options": ["x", "y"]}]
    assert filled(tmp_path, json_lines(rows), [["B"]]) == json_lines([{**rows[0], "answer": "B"}])


def test_the_line_that_names_the_delimiter_comes_back(tmp_path: Path) -> None:
    rows = [["question", "A", "B", "answer"], ["q", "x", "y", "A"]]
    line = b"sep=;\r\n"
    data = filled(tmp_path, line + csv_of(rows, ";"), [["B"]])
    assert data == line + csv_of([rows[0], ["q", "x", "y", "B"]], ";")


def test_a_file_without_header_comes_back_without(tmp_path: Path) -> None:
    data = csv_of([["one?", "x", "y", "A"], ["two?", "x", "y", "B"]])
    expected = csv_of([["one?", "x", "y", "B"], ["two?", "x", "y", "B"]])
    assert filled(tmp_path, data, [["B"], ["B"]]) == expected


@pytest.mark.parametrize(
    ("keys", "answers", "expected"),
    [
        ((0, 3), ("D", None), (3, None)),
        ((1, 4), ("D", "A"), (4, 1)),
        (("0", "3"), ("D", "AC"), ("3", "0,2")),
        (("Oslo", "Rome"), ("D", "A"), ("Riga", "Rome")),
        (("a", "B"), ("D", "AC"), ("D", "AC")),
        ((["A"], ["B", "C"]), ("D", "AC"), (["D"], ["A", "C"])),
        (([0, 1, 0, 0], [1, 0, 0, 1]), ("D", "AC"), ([0, 0, 0, 1], [1, 0, 1, 0])),
        (([False, True, False, False], None), ("A", None), ([True, False, False, False], None)),
        (("[0, 1, 0, 0]", "0,1,0,0"), ("D", "AC"), ("[0, 0, 0, 1]", "1,0,1,0")),
        (
            ("[true, false, false, false]", "[False, True, False, False]"),
            ("B", "B"),
            ("[false, true, false, false]", "[False, True, False, False]"),
        ),
        (([0], [1, 3]), ("D", "AC"), ([3], [0, 2])),
        (("A", None), ("D", "B"), ("D", "B")),
    ],
)
def test_answers_are_written_as_keys_are(
    tmp_path: Path, keys: tuple[Any, ...], answers: tuple[Any, ...], expected: tuple[Any, ...]
) -> None:
    options = ["Rome", "Oslo", "Bern", "Riga"]
    rows = [{"question": "q", "options": options, "answer": key} for key in keys]
    data = filled(tmp_path, json_lines(rows), [[answer] for answer in answers])
    assert [json.loads(line)["answer"] for line in data.splitlines()] == [*expected]


def test_a_number_that_is_an_option_comes_back_as_a_number(tmp_path: Path) -> None:
    rows = [{"question": "q", "options": options, "answer": 7} for options in ([7, 8], ["7", "x"])]
    data = filled(tmp_path, json_lines(rows), [["B"], ["B"]])
    assert [json.loads(line)["answer"] for line in data.splitlines()] == [8, "x"]


@pytest.mark.parametrize(
    ("others", "new"),
    [(["answer"], "answer_2"), (["Answer"], "answer_2"), (["answer", "Answer 2"], "answer_3")],
)
def test_answers_never_replace_what_was_not_read_as_the_key(
    tmp_path: Path, others: list[str], new: str
) -> None:
    names = ["Question", "Correct Answer", "Incorrect Answer 1", *others]
    cells = ["q", "r", "w", *("mine" for _ in others)]
    data = csv_of([names, cells])
    found, read = converted(tmp_path, data)
    assert found is not None
    assert found.statement.text.endswith(f"answers would be filled into a new column {new}")
    key = read[0].questions[0].answer
    assert filled(tmp_path, data, [[key]]) == csv_of([[*names, new], [*cells, "r"]])
    mapped = {"question": "question", "A": "x", "B": "y", "problem": "answer"}
    data = csv_of([["question", "x", "y", "answer"], ["q", "1", "2", "a text"]])
    expected = csv_of(
        [["question", "x", "y", "answer", "answer_2"], ["q", "1", "2", "a text", "A"]]
    )
    assert filled(tmp_path, data, [["A"]], columns=mapped) == expected


def test_a_shuffled_row_gets_the_text_of_its_answer(tmp_path: Path) -> None:
    names = ["Question", "Correct Answer", "Incorrect Answer 1", "Incorrect Answer 2"]
    rows = [[f"q{i}", f"r{i}", f"v{i}", f"w{i}"] for i in range(9)]
    _, read = converted(tmp_path, csv_of([names, *rows]))
    keys = [[problem.questions[0].answer] for problem in read]
    expected = [[*names, "answer"], *([*row, row[1]] for row in rows)]
    assert filled(tmp_path, csv_of([names, *rows]), keys) == csv_of(expected)


def test_our_own_rows_come_back(tmp_path: Path) -> None:
    question = {"question": "q", "options": ["x", "y"]}
    rows = [{"id": "a", "questions": [question, {**question, "answer": "A"}]}]
    answered = [{**question, "answer": ["A", "B"]}, {**question, "answer": "B"}]
    data = filled(tmp_path, as_json(rows), [["AB", "B"]])
    assert data == as_json([{"id": "a", "questions": answered}])


def test_lines_of_a_text_come_back(tmp_path: Path) -> None:
    lines = ["", "b", "text", "q?", "A.x", "B.y", "C.z", "D.w", ""]
    data = filled(tmp_path, "\n".join(lines).encode(), [["D"]])
    assert data.decode().splitlines() == ["", "d", *lines[2:-1]]


@pytest.mark.parametrize(
    ("answer", "keys", "expected"),
    [
        ("(i % 3)::BIGINT", ["C", None], [2, None]),
        ("(i % 3)::TINYINT", ["C", "AB"], ["2", "0,1"]),
        ("['x1', 'y2', 'z3'][1 + i % 3]", ["C", None], ["z3", ""]),
        ("[chr((65 + i)::INT)]", ["C", "AB"], [["C"], ["A", "B"]]),
    ],
)
def test_parquet_comes_back_with_its_types(
    tmp_path: Path, answer: str, keys: list[str | None], expected: list[Any]
) -> None:
    path = tmp_path / "posted"
    select = (
        f"SELECT 'q' AS question, ['x1', 'y2', 'z3'] AS options, {answer} AS answer, now() AS at, "
        "1.5::DECIMAL(4, 2) AS d, {'x': [1]} AS s, '\\xFF'::BLOB AS b FROM range(2) r(i)"
    )
    duckdb.execute(f"COPY ({select}) TO '{path}' (FORMAT parquet)")
    posted = path.read_bytes()
    before = duckdb.execute(f"SELECT * FROM read_parquet('{path}')").fetchall()
    path.unlink()
    path.write_bytes(filled(tmp_path, posted, [[key] for key in keys]))
    after = duckdb.execute(f"SELECT * FROM read_parquet('{path}')").fetchall()
    assert [row[2] for row in after] == expected
    assert [row[:2] + row[3:] for row in after] == [row[:2] + row[3:] for row in before]


def test_parquet_without_keys_gets_a_column(tmp_path: Path) -> None:
    path = tmp_path / "posted"
    duckdb.execute(
        f"COPY (SELECT 'q' AS question, 'x' AS A, 'y' AS B) TO '{path}' (FORMAT parquet)"
    )
    path.write_bytes(filled(tmp_path, path.read_bytes(), [["B"]]))
    assert duckdb.execute(f"FROM read_parquet('{path}')").fetchall() == [("q", "x", "y", "B")]


def test_parquet_comes_back_whatever_the_first_options(tmp_path: Path) -> None:
    path = tmp_path / "posted"
    rows = "('q', ['yes'], 'yes'), ('r', ['no', 'yes'], 'no')"
    table = f"SELECT * FROM (VALUES {rows}) t(question, options, answer)"
    duckdb.execute(f"COPY ({table}) TO '{path}' (FORMAT parquet)")
    path.write_bytes(filled(tmp_path, path.read_bytes(), [["A"], ["B"]]))
    found = duckdb.execute(f"SELECT answer FROM read_parquet('{path}')").fetchall()
    assert found == [("yes",), ("yes",)]


RECORDS: dict[str, dict[str, Any]] = {
    "quorum": {"questions": [{"question": "q", "options": ["x", "y"], "answer": "A"}]},
    "flat": {"question": "q", "options": ["x", "y"], "answer": "A"},
    "agieval": {"passage": None, "question": "q", "options": ["(A)x", "(B)y"], "label": "A"},
    "arc": {
        "question": "q",
        "choices": {"text": ["x", "y"], "label": ["A", "B"]},
        "answerKey": "A",
    },
    "ar-lsat": {
        "passage": "p",
        "questions": [{"question": "q", "options": ["x", "y"], "answer": "A"}],
    },
    "logiqa2": {"text": "t", "question": "q", "options": ["x", "y"], "answer": 0},
    "bbh": {"input": "q\nOptions:\n(A) x\n(B) y", "target": "(A)"},
    "gaokao": {"question": "q\nA. x\nB. y", "answer": ["A"], "analysis": "a"},
    "logiqa1": {"answer": "a"},
}


@pytest.mark.parametrize("name", [*SHAPES])
def test_a_shape_names_the_field_that_it_fills(name: str) -> None:
    shape, values = SHAPES[name], RECORDS[name]
    survey = shape.survey([Record(1, values)], Reading(index_base=0 if name == "logiqa2" else None))
    filled = shape.filled(values, survey, ["B"])
    changed = {key for key in filled if filled[key] != values.get(key)}
    assert changed == {shape.field(values, survey)}


def test_answers_for_another_number_of_records_are_an_error(tmp_path: Path) -> None:
    for answers in ([["A"]], [["A"]] * 3):
        with pytest.raises(ValueError, match="zip"):
            filled(tmp_path, json_lines(ROWS), answers)
