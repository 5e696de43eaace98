"""`trainer prepare --write`: the prepared rows as files for whoever trains elsewhere."""

import json
import logging
import os
import resource
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from contract import Problem, PromptFormat, Question
from contract.contract import SYSTEM_PROMPT
from trainer.__main__ import app
from trainer.data.chat_forms import ChatForm
from trainer.data.examples import Example, load_examples
from trainer.data.preparing import prepare, write_examples
from trainer.data.writing import chat_row, write_chats, write_forms
from trainer.errors import TrainerError
from trainer.recipe import DataFile, Recipe

QUESTION = Question("谁高？", ("甲", "乙"), "A", "甲比乙高。")
EXAMPLE = Example(Problem("1", "甲比乙高。", (QUESTION,), {}), QUESTION, "A", "somewhere")
BARE = Example(EXAMPLE.problem, Question("谁矮？", ("甲", "乙"), "B"), "B", "somewhere")
USER = "题目：\n甲比乙高。\n\n问题：\n谁高？\n\n选项：\nA. 甲\nB. 乙"
REPLY = "甲比乙高。\n答案是：A"
FORMS = tuple(ChatForm)


def test_an_json_has_the_question_and_its_label_alone() -> None:
    row = chat_row(EXAMPLE, PromptFormat(), ChatForm.AN)
    assert row == {"instruction": USER, "input": "", "output": "A"}


def test_ana_json_has_our_prompt_the_analysis_and_the_answer_line() -> None:
    row = chat_row(EXAMPLE, PromptFormat(), ChatForm.ANA)
    assert row == {"instruction": f"{SYSTEM_PROMPT}\n\n{USER}", "input": "", "output": REPLY}
    assert list(row) == ["instruction", "input", "output"]


def test_sharegpt_and_messages_have_the_turns_that_a_run_trains() -> None:
    assert chat_row(EXAMPLE, PromptFormat(), ChatForm.SHAREGPT) == {
        "conversations": [
            {"from": "system", "value": SYSTEM_PROMPT},
            {"from": "human", "value": USER},
            {"from": "gpt", "value": REPLY},
        ]
    }
    assert chat_row(EXAMPLE, PromptFormat(system_prompt="", style="answer"), ChatForm.MESSAGES) == {
        "messages": [
            {"role": "user", "content": USER},
            {"role": "assistant", "content": "答案是：A"},
        ]
    }


@pytest.mark.parametrize("form", FORMS)
def test_a_written_file_is_read_back(tmp_path: Path, form: ChatForm) -> None:
    path = tmp_path / "rows"
    assert write_chats([EXAMPLE, EXAMPLE, BARE], PromptFormat(), form, path) == (
        2 if form is ChatForm.ANA else 3
    )
    if form is ChatForm.MESSAGES:
        assert len(path.read_text().splitlines()) == 3
    else:
        assert isinstance(json.loads(path.read_text()), list)
    back = load_examples([DataFile(file=str(path))], PromptFormat()).rows
    assert [(one.problem.text, one.question.text, one.label) for one in back] == [
        ("甲比乙高。", one.question.text, one.label) for one in (EXAMPLE, EXAMPLE, BARE)
    ][: len(back)]
    assert back[0].question.analysis == (None if form is ChatForm.AN else QUESTION.analysis)


def test_a_side_without_rows_becomes_an_empty_list(tmp_path: Path) -> None:
    assert write_chats([], PromptFormat(), ChatForm.SHAREGPT, tmp_path / "none.json") == 0
    assert json.loads((tmp_path / "none.json").read_text()) == []


def test_a_full_disk_leaves_the_earlier_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "train.json"
    write_chats([EXAMPLE], PromptFormat(), ChatForm.AN, path)
    earlier = path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))  # the file fits in part
    try:
        for target in (path, tmp_path / "new.json"):
            with pytest.raises(TrainerError, match=rf"cannot write .*/{target.name}: File too lar"):
                write_chats([EXAMPLE] * 100, PromptFormat(), ChatForm.AN, target)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == earlier
    assert list(tmp_path.iterdir()) == [path]


def recipe(tiny_recipe: Callable[..., Recipe], **fmt: Any) -> Recipe:
    asked = tiny_recipe()
    return asked.model_copy(update={"format": type(asked.format)(**fmt)})


def test_ana_json_asks_for_analyses_when_the_run_trains_labels(
    tiny_recipe: Callable[..., Recipe], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    asked = recipe(tiny_recipe)
    sides = {"train": [EXAMPLE, BARE, BARE], "validation": [BARE]}
    with caplog.at_level(logging.INFO):
        write_forms(sides, FORMS, asked, asked.with_style("answer"), tmp_path)
    (worked,) = json.loads((tmp_path / "train.ana.json").read_text())
    assert worked["instruction"].startswith(SYSTEM_PROMPT)
    assert "train.ana.json: 1 rows, 2 without an analysis" in caplog.text
    assert json.loads((tmp_path / "validation.ana.json").read_text()) == []
    first = json.loads((tmp_path / "train.messages.jsonl").read_text().splitlines()[0])
    assert "不要写推理过程" in first["messages"][0]["content"]
    assert first["messages"][-1]["content"] == "答案是：A"


def test_ana_json_without_any_analysis_is_refused(
    tiny_recipe: Callable[..., Recipe], tmp_path: Path
) -> None:
    asked = recipe(tiny_recipe)
    with pytest.raises(TrainerError, match="no row has an analysis"):
        write_forms({"train": [BARE]}, [ChatForm.AN, ChatForm.ANA], asked, asked, tmp_path)
    answers = recipe(tiny_recipe, style="answer")
    with pytest.raises(TrainerError, match=r'format\.style = "answer" asks for none'):
        write_forms({"train": [EXAMPLE]}, [ChatForm.ANA], answers, answers, tmp_path)
    assert not list(tmp_path.glob("train.an*"))


def test_weights_that_no_form_holds_are_named(
    tiny_recipe: Callable[..., Recipe], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    asked = recipe(tiny_recipe)
    heavy = Example(EXAMPLE.problem, QUESTION, "A", "somewhere", weight=2)
    said = "the weights of data files are not in the files written"
    for rows in ([EXAMPLE], [EXAMPLE, heavy]):
        assert said not in caplog.text
        write_forms({"train": rows}, [ChatForm.MESSAGES], asked, asked, tmp_path)
    assert said in caplog.text


def test_prepare_writes_both_sides_in_each_form(
    recipe_file: Callable[..., Path], tmp_path: Path
) -> None:
    out = tmp_path / "prepared"
    command = ["prepare", "--recipe", str(recipe_file()), "--out", str(out)]
    done = CliRunner().invoke(app, [*command, "--write", "ana.json", "--write", "messages"])
    assert done.exit_code == 0, done.output
    for side in ("train", "validation"):
        rows = (out / f"{side}.jsonl").read_text().splitlines()
        assert len(json.loads((out / f"{side}.ana.json").read_text())) == len(rows) > 0
        assert len((out / f"{side}.messages.jsonl").read_text().splitlines()) == len(rows)
    assert not list(out.glob("*.an.json"))
    assert CliRunner().invoke(app, [*command, "--write", "alpaca"]).exit_code == 2


@pytest.mark.skipif("QUORUM_REAL_DATA" not in os.environ, reason="QUORUM_REAL_DATA is not set")
@pytest.mark.parametrize("name", ["ana.json", "train.jsonl"])
def test_every_real_row_comes_back_from_every_form(
    tiny_recipe: Callable[..., Recipe], tmp_path: Path, name: str
) -> None:
    asked = recipe(tiny_recipe)
    file = DataFile(file=str(Path(os.environ["QUORUM_REAL_DATA"]) / name))
    made = prepare(asked.model_copy(update={"train": (file,)}))
    write_examples(made.train, tmp_path / "train.jsonl")
    forms = [form for form in FORMS if form is not ChatForm.ANA or name == "ana.json"]
    write_forms({"train": made.train}, forms, asked, made.recipe, tmp_path)
    for form in forms:
        path = tmp_path / f"train{form.ending}"
        back = load_examples([DataFile(file=str(path))], asked.format).rows
        assert len(back) == len(made.train)
        differ = [
            (one, other)
            for one, other in zip(back, made.train, strict=True)
            if asked_in(one) != asked_in(other)
        ]
        # two real options hold a line like another option's, or end like a request
        assert len(differ) <= (2 if form is ChatForm.AN else 0), differ
        if form is not ChatForm.AN:
            assert [one.question for one in back] == [other.question for other in made.train]


def asked_in(example: Example) -> tuple[str, str, tuple[str, ...], str]:
    question = example.question
    return example.problem.text, question.text, question.options, example.label
