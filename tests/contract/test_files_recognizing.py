"""A file's shape is decided by its content; what is ambiguous or for training is refused."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from contract import ProblemFileError, parse_problems
from contract.files.converting import convert
from contract.files.known import SHAPES
from contract.files.shapes import Reading
from question_files import FLAT, converted, faults, json_lines, refusal

AGIEVAL = {"passage": "p", "question": "q", "options": ["(A)x", "(B)y"], "label": "B"}
ARC = {"question": "q", "choices": {"text": ["x", "y"], "label": ["A", "B"]}, "answerKey": "B"}
ARLSAT = {"passage": "p", "questions": [{"question": "q", "options": ["x", "y"], "answer": "B"}]}
BBH = {"input": "q\nOptions:\n(A) x\n(B) y", "target": "(B)"}
GAOKAO = {"question": "q ( )\nA. x\nB. y\nC. z\nD. w\n", "answer": ["B"]}
LOGIQA = {"text": "p", "question": "q", "options": ["x", "y"], "answer": 1}
OURS = {"id": "a", "problem": "p", "questions": ARLSAT["questions"]}
BARE = {"questions": ARLSAT["questions"]}


@pytest.mark.parametrize(
    ("row", "shape"),
    [
        (AGIEVAL, "agieval"),
        (ARC, "arc"),
        (ARLSAT, "ar-lsat"),
        (BBH, "bbh"),
        (GAOKAO, "gaokao"),
        (LOGIQA, "logiqa2"),
        (FLAT[0], "flat"),
        ({**BBH, "options": ["x", "y"]}, "flat"),
    ],
)
def test_a_record_has_one_shape(tmp_path: Path, row: dict[str, Any], shape: str) -> None:
    found, read = converted(tmp_path, json_lines([row, row]))
    assert found is not None
    assert (found.shape, found.records) == (shape, 2)
    assert {problem.questions[0].answer for problem in read} == {"B"}


@pytest.mark.parametrize("row", [OURS, BARE, {**OURS, "passage": "p"}])
def test_our_own_rows_are_ours(tmp_path: Path, row: dict[str, Any]) -> None:
    assert converted(tmp_path, json_lines([row]))[0] is None


@pytest.mark.parametrize("name", ["context", "article", "text", "Problem", "材料", "problme"])
def test_a_text_of_our_own_rows_has_its_name(tmp_path: Path, name: str) -> None:
    said = (
        f"{name}: would be left out of the prompt: the text of the questions is in problem; "
        "rename this key to problem, or remove it"
    )
    for data in (json_lines([BARE, {**BARE, name: "p"}]), json.dumps([BARE, {**BARE, name: "p"}])):
        (fault,) = faults(tmp_path, data if isinstance(data, bytes) else data.encode())
        assert str(fault) in (f"line 2, {said}", f"row 2, {said}")


@pytest.mark.parametrize("row", [{**BARE, "text": " "}, {**BARE, "problem_id": "p1"}])
def test_what_is_no_text_may_stand_in_our_own_rows(tmp_path: Path, row: dict[str, Any]) -> None:
    assert converted(tmp_path, json_lines([row]))[0] is None


def test_the_shape_that_is_named_is_taken(tmp_path: Path) -> None:
    found, _ = converted(tmp_path, json_lines([AGIEVAL]), shape="flat")
    assert found is not None
    assert found.shape == "flat"
    (fault,) = faults(tmp_path, json_lines([AGIEVAL]), shape="arc")
    assert str(fault).startswith("line 1: has passage, question, options, label; the file is read")
    said = refusal(tmp_path, json_lines([AGIEVAL]), shape="exam")
    assert said == f"there is no shape 'exam'; known are {', '.join(SHAPES)}"


def test_columns_are_mapped_for_flat_rows_alone(tmp_path: Path) -> None:
    said = refusal(tmp_path, json_lines([ARC]), shape="arc", columns={"question": "question"})
    assert "for the shape flat only, not for arc" in said


def test_a_record_of_another_shape_is_a_fault(tmp_path: Path) -> None:
    (fault,) = faults(tmp_path, json_lines([ARC, ARC, {"question": "q"}, ARC]))
    assert str(fault) == (
        "line 3: has question; the file is read as arc, which has question, choices.text, "
        "choices.label, answerKey"
    )


def test_one_bad_record_does_not_hide_the_shape(tmp_path: Path) -> None:
    (fault,) = faults(tmp_path, json_lines([{"id": 1}, FLAT[0], FLAT[1]]))
    assert str(fault) == "line 1, question: is empty; it must be a text"


@pytest.mark.parametrize(
    "row",
    [
        {"instruction": "i", "input": "q", "output": "o"},
        {"prompt": "p", "completion": "c"},
        {"conversations": [{"from": "human", "value": "q"}]},
        {"messages": [{"role": "user", "content": "q"}]},
    ],
)
def test_rows_for_training_are_refused_by_name(tmp_path: Path, row: dict[str, Any]) -> None:
    said = refusal(tmp_path, json_lines([row, row]))
    assert "such rows are for training, not for answering" in said
    assert next(iter(row)) in said


def test_what_lacks_is_named(tmp_path: Path) -> None:
    said = refusal(tmp_path, json_lines([{"question": "q", "reply": "r"}]))
    assert said.startswith(
        "is of no shape that is read here: the first record has question, reply, and lacks "
        "options; map columns, as in options=NAME, or name a shape: quorum, flat"
    )
    said = refusal(tmp_path, json_lines([{"question": ["q"], "options": 3}]))
    assert "the question must be a text" in said


SHAPES_FOLDER = Path(os.environ.get("QUORUM_REAL_DATA", "")) / "shapes"


@pytest.mark.skipif("QUORUM_REAL_DATA" not in os.environ, reason="QUORUM_REAL_DATA is not set")
def test_real_files_convert_whole_or_name_their_faults(tmp_path: Path) -> None:
    files = sorted(path for path in SHAPES_FOLDER.iterdir() if path.is_file())
    assert files
    for path in files:
        target = tmp_path / "rows.jsonl"
        told: list[str] = []
        found = None
        try:
            found = convert(path, target, Reading(), most_bytes=64 << 20)
        except ProblemFileError as error:
            told = [str(fault.reason) for fault in error.faults]
        if found is None:
            assert "" not in told, path.name
            assert told, path.name
        else:
            assert len(parse_problems(target.read_bytes())) == found.records > 0, path.name
