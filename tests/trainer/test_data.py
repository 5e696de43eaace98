"""Labelled files in both forms."""

import json
from pathlib import Path

import pytest

from problem_files import problem_file
from trainer.data import load_examples
from trainer.errors import TrainerError

INSTRUCTION = (
    '做题。最后一行的格式为"答案是：A"。题目如下：\n\n### 题目:\n甲比乙高。\n\n### 问题:\n'
    "选择题 1：\n谁高？\nA. 甲\nB. 乙\n第二行\n"
)


def write(folder: Path, output: str, instruction: str = INSTRUCTION) -> tuple[str, ...]:
    path = folder / "ana.json"
    row = {"instruction": instruction, "input": "", "output": output}
    path.write_text(json.dumps([row], ensure_ascii=False), encoding="utf-8")
    return (str(path),)


def test_a_problem_file_gives_one_example_a_labelled_question(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(problem_file(2))
    (tmp_path / "b.jsonl").write_bytes(problem_file(1, labelled=False))
    examples = load_examples((str(tmp_path / "a.jsonl"), str(tmp_path / "b.jsonl")))
    assert [example.label for example in examples.rows] == ["A"] * 4
    assert examples.dropped == {"no answer given": 2}
    assert examples.rows[0].source == "a.jsonl, p0, question 1"


def test_an_instruction_row_is_taken_apart_again(tmp_path: Path) -> None:
    (example,) = load_examples(write(tmp_path, "甲比乙高，选甲。\n\n答案是：A. 甲")).rows
    assert example.problem.text == "甲比乙高。"
    assert example.question.text == "选择题 1：\n谁高？"
    assert example.question.options == ("甲", "乙\n第二行")
    assert (example.label, example.question.analysis) == ("A", "甲比乙高，选甲。")


def test_an_announced_answer_line_is_read(tmp_path: Path) -> None:
    (example,) = load_examples(write(tmp_path, "因此，正确答案是：\n\n答案是：B")).rows
    assert (example.label, example.question.analysis) == ("B", "因此，正确答案是：")


@pytest.mark.parametrize(
    ("output", "instruction", "reason"),
    [
        ("我不知道。", INSTRUCTION, "the output names none of the options"),
        ("答案是：D", INSTRUCTION, "the output names none of the options"),
        ("答案是：A", "没有标题", "no problem and question found"),
        ("答案是：A", "### 题目:\n题\n\n### 问题:\n问", "no options found"),
    ],
)
def test_a_row_that_cannot_be_used_is_named_with_its_reason(
    tmp_path: Path, output: str, instruction: str, reason: str
) -> None:
    with pytest.raises(TrainerError, match=reason):
        load_examples(write(tmp_path, output, instruction))


def test_a_broken_file_names_its_line(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(problem_file(1) + b"{")
    with pytest.raises(TrainerError, match=r"a\.jsonl: line 2: not JSON"):
        load_examples((str(tmp_path / "a.jsonl"),))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(TrainerError, match=r"cannot read the training file .*nothing\.jsonl"):
        load_examples((str(tmp_path / "nothing.jsonl"),))
