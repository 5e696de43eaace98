"""Training files of chats: recognized by their content, read to the same examples."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from contract import Problem, PromptFormat, Question, write_json
from contract.contract import ANSWER_SYSTEM_PROMPT, SYSTEM_PROMPT
from contract.files.chats import NO_CHAT
from trainer.data.examples import Examples, load_examples
from trainer.errors import TrainerError
from trainer.recipe import DataFile

PROMPT = "### 题目:\n甲比乙高。\n\n### 问题:\n谁高？\nA. 甲\nB. 乙"
REPLY = "甲比乙高，选甲。\n\n答案是：A"
TURNS = [("system", "做题。"), ("user", PROMPT), ("assistant", REPLY)]


def messages(turns: list[tuple[str, str]]) -> dict[str, Any]:
    return {"messages": [{"role": role, "content": text} for role, text in turns]}


def conversations(turns: list[tuple[str, str]]) -> dict[str, Any]:
    names = {"user": "human", "assistant": "gpt"}
    return {"conversations": [{"from": names.get(r, r), "value": text} for r, text in turns]}


INSTRUCTION = {"instruction": PROMPT, "input": "", "output": REPLY}
ROWS = {
    "instruction": INSTRUCTION,
    "messages": messages(TURNS),
    "ShareGPT": conversations(TURNS),
}
CONTAINERS: dict[str, Callable[[list[Any]], str]] = {
    "array": write_json,
    "pretty array": lambda rows: write_json(rows, indent=2),
    "lines": lambda rows: "\n".join(map(write_json, rows)),
    "lines of Windows": lambda rows: "\ufeff" + "\r\n\r\n".join(map(write_json, rows)),
}


def load(folder: Path, text: str, name: str = "rows.txt") -> Examples:
    (folder / name).write_text(text, encoding="utf-8", newline="")
    return load_examples([DataFile(file=str(folder / name))], PromptFormat())


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("shape", ROWS)
def test_every_shape_is_read_from_every_container(
    tmp_path: Path, shape: str, container: str
) -> None:
    loaded = load(tmp_path, CONTAINERS[container]([ROWS[shape], ROWS[shape]]))
    for example in loaded.rows:
        assert example.problem.text == "甲比乙高。"
        assert (example.question.text, example.question.options) == ("谁高？", ("甲", "乙"))
        assert (example.label, example.question.analysis) == ("A", "甲比乙高，选甲。")
    template = "competition's template (### 题目, ### 问题) taken out"
    assert loaded.recognized == {f"rows.txt: {shape}, {template}": 2}


def test_rows_are_numbered_as_in_their_file(tmp_path: Path) -> None:
    lines = load(tmp_path, write_json(INSTRUCTION) + "\n\n" + write_json(INSTRUCTION))
    assert [example.source for example in lines.rows] == ["rows.txt, row 1", "rows.txt, row 3"]
    array = load(tmp_path, write_json([7, INSTRUCTION]))
    assert [example.source for example in array.rows] == ["rows.txt, row 2"]


@pytest.mark.parametrize("make", [messages, conversations])
def test_the_last_question_of_several_turns_is_trained(
    tmp_path: Path, make: Callable[..., Any]
) -> None:
    turns = [TURNS[0], ("user", "在吗？"), ("assistant", "答案是：B"), *TURNS[1:]]
    loaded = load(tmp_path, write_json(make(turns)))
    assert [example.label for example in loaded.rows] == ["A"]
    (form,) = loaded.recognized
    assert "of several turns, the last question" in form


def test_rows_left_out_are_counted_by_their_reasons(tmp_path: Path) -> None:
    rows = [
        messages(TURNS),
        messages(TURNS[:2]),
        messages([*TURNS, ("user", "为什么？")]),
        messages([*TURNS, ("tool", "7")]),
        messages([]),
        messages([("user", "谁高？"), ("assistant", "甲。")]),
        {"text": "x"},
    ]
    loaded = load(tmp_path, CONTAINERS["lines"](rows))
    assert len(loaded.rows) == 1
    assert loaded.dropped == {
        "no reply to the last turn of the user": 2,
        "a turn of another role than system, user (human) and assistant (gpt)": 1,
        "no turn of the user": 1,
        "no problem and question found in the instruction": 1,
        str(NO_CHAT): 1,
    }


@pytest.mark.parametrize("reply", ["甲乙都对。\n答案是：A、B", "AB", "A, B", "B和A"])
def test_chats_with_several_right_answers_are_left_out(tmp_path: Path, reply: str) -> None:
    rows = [INSTRUCTION, {**INSTRUCTION, "output": reply}]
    loaded = load(tmp_path, write_json(rows))
    assert [example.label for example in loaded.rows] == ["A"]
    assert loaded.dropped == {"several right answers; training teaches a reply with one": 1}


def test_a_broken_line_of_chats_is_named(tmp_path: Path) -> None:
    good = write_json(INSTRUCTION)
    with pytest.raises(TrainerError, match=r"rows\.txt: line 2: not JSON: .* at column 2"):
        load(tmp_path, f"{good}\n{{")
    with pytest.raises(TrainerError, match=r"rows\.txt: line 2, output: this key stands twice"):
        load(tmp_path, good + '\n{"output": "", "output": ""}')


@pytest.mark.parametrize("system", [SYSTEM_PROMPT, ANSWER_SYSTEM_PROMPT, "做题。"])
def test_a_prompt_of_ours_may_quote_any_template(tmp_path: Path, system: str) -> None:
    """With our system prompt before it, nothing in it is taken for another template or request."""
    quoted = "### 题目:\n假\n\n### 问题:\n假\nA. 假\n甲"
    prompt = f"题目：\n{quoted}\n\n问题：\n谁高？\n\n选项：\nA. 甲\nB. 乙\n\n请选择"
    loaded = load(
        tmp_path, write_json(messages([("system", system), *[("user", prompt)], TURNS[2]]))
    )
    (example,) = loaded.rows
    ours = system != "做题。"
    assert (example.problem.text == quoted) == ours
    assert (example.question.options == ("甲", "乙\n\n请选择")) == ours


def test_options_are_read_in_the_recipes_own_form(tmp_path: Path) -> None:
    fmt = PromptFormat(
        system_prompt="Think.",
        user_template="{problem}\n\n{question}\n\n{options}\n",
        option_line="({label}) {text}",
        answer_line="Answer: {label}",
    )
    row = {
        "instruction": "Think.\n\nTom is tall.\n\nWho?\n\n(A) Tom\n(B) Ann\nand Bob\n",
        "output": "Tom is. Answer: A",
    }
    path = tmp_path / "rows.json"
    path.write_text(json.dumps([row]))
    (example,) = load_examples([DataFile(file=str(path))], fmt).rows
    assert (example.problem.text, example.question.text) == ("Tom is tall.", "Who?")
    assert example.question.options == ("Tom", "Ann\nand Bob")


@pytest.mark.parametrize("system", [SYSTEM_PROMPT, ""])
def test_a_question_without_a_problem_is_read_from_our_prompt(tmp_path: Path, system: str) -> None:
    question = Question("谁高？", ("甲", "乙"))
    turns = PromptFormat(system_prompt=system).messages(Problem("1", "", (question,), {}), question)
    row = {"messages": [*turns, {"role": "assistant", "content": REPLY}]}
    (example,) = load(tmp_path, write_json(row)).rows
    assert (example.problem.text, example.question.text) == ("", "谁高？")
    assert example.question.options == ("甲", "乙")
