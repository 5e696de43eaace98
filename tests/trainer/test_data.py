"""Labelled files of both kinds."""

import json
import os
from pathlib import Path

import pytest

from contract import PromptFormat
from contract.files.chats import NO_CHAT
from problem_files import problem_file
from trainer.data.examples import UNREADABLE, Examples, load_examples
from trainer.errors import TrainerError
from trainer.recipe import DataFile

INSTRUCTION = (
    '做题。最后一行的格式为"答案是：A"。题目如下：\n\n### 题目:\n甲比乙高。\n\n### 问题:\n'
    "选择题 1：\n谁高？\nA. 甲\nB. 乙\n第二行\n"
)


def load(*paths: str, fmt: PromptFormat | None = None) -> Examples:
    return load_examples([DataFile(file=path) for path in paths], fmt or PromptFormat())


def write(folder: Path, output: str, instruction: str = INSTRUCTION) -> str:
    path = folder / "ana.json"
    row = {"instruction": instruction, "input": "", "output": output}
    path.write_text(json.dumps([row], ensure_ascii=False), encoding="utf-8")
    return str(path)


def test_a_problem_file_gives_one_example_a_labelled_question(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(problem_file(2))
    (tmp_path / "b.jsonl").write_bytes(problem_file(1, labelled=False))
    examples = load(str(tmp_path / "a.jsonl"), str(tmp_path / "b.jsonl"))
    assert [example.label for example in examples.rows] == ["A"] * 4
    assert examples.dropped == {"no answer given": 2}
    assert examples.rows[0].source == "a.jsonl, p0, question 1"


def test_a_question_with_several_right_answers_is_left_out_and_counted(tmp_path: Path) -> None:
    question = {"question": "哪些？", "options": ["甲", "乙", "丙"]}
    answers: tuple[object, ...] = (["A", "C"], ["B"], [], "C")
    row = {"id": "1", "questions": [{**question, "answer": answer} for answer in answers]}
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(row, ensure_ascii=False), encoding="utf-8")
    examples = load(str(path))
    assert [example.label for example in examples.rows] == ["B", "C"]
    assert examples.dropped == {
        "several right answers; training teaches a reply with one": 1,
        "no answer given": 1,
    }


def test_an_instruction_row_is_split_into_its_parts(tmp_path: Path) -> None:
    (example,) = load(write(tmp_path, "甲比乙高，选甲。\n\n答案是：A. 甲")).rows
    assert example.problem.text == "甲比乙高。"
    assert example.question.text == "选择题 1：\n谁高？"
    assert example.question.options == ("甲", "乙\n第二行")
    assert (example.label, example.question.analysis) == ("A", "甲比乙高，选甲。")


def test_an_announced_answer_line_is_read(tmp_path: Path) -> None:
    (example,) = load(write(tmp_path, "甲高。因此，正确答案是：\n\n答案是：B")).rows
    assert (example.label, example.question.analysis) == ("B", "甲高。")


@pytest.mark.parametrize(
    "request_behind",
    [
        "请逐步分析",
        "请逐步分析问题并在最后一行输出答案。",
        "\n请选择正确的选项：",
        "请给出答案",
        "请从以上选项中选出一个。",
        "\n让我们一步一步思考",
        "Let's think step by step.",
        "Please answer with one letter.",
        "Answer:",
        "答案：",
        "### 答案:",
        "【解析】",
        '\n最后一行的格式为"答案是：A"。',
        "\nWrite the letter of the right option in the last line.",
        "\n任何别的话，与选项隔一空行",
        "\\n\n",
        "---\n请逐步分析",
        "（请只回答一个字母）",
        "(单选题)",
        "作答：",
        "思考过程：",
        "输出格式为：答案是：X",
        "不要解释，直接回答。",
        "务必只选一个。",
        "根据以上信息选择正确答案。",
        "以上选项中，哪一个正确？",
        "所以答案是",
        "Which one is correct?",
        "You must answer with A, B or C.",
        "Do not explain.",
        "Assistant:",
        "<|im_end|>",
    ],
)
@pytest.mark.parametrize("where", ["instruction", "input"])
def test_a_request_at_the_end_of_a_prompt_is_no_option(
    tmp_path: Path, request_behind: str, where: str
) -> None:
    asked = "### 题目:\n甲比乙高。\n\n### 问题:\n谁高？\nA. 甲\nB. 乙"
    row = {"instruction": asked, "input": "", "output": "答案是：A"}
    row[where] += ("\n" if where == "instruction" else "") + request_behind
    (tmp_path / "ana.json").write_text(json.dumps([row], ensure_ascii=False), encoding="utf-8")
    (example,) = load(str(tmp_path / "ana.json")).rows
    assert example.question.options == ("甲", "乙")


def test_a_request_on_the_last_options_line_is_left_out(tmp_path: Path) -> None:
    asked = "### 题目:\n题\n\n### 问题:\n问\nA. 甲\nB. 乙。请逐步分析。"
    (example,) = load(write(tmp_path, "答案是：A", asked)).rows
    assert example.question.options == ("甲", "乙。")


def test_options_of_several_lines_keep_them(tmp_path: Path) -> None:
    asked = "### 题目:\n题\n\n### 问题:\n问\nA. 甲\n\n第二段\nB. 乙\n\n第二段\n# 注"
    (example,) = load(write(tmp_path, "答案是：A", asked)).rows
    assert example.question.options == ("甲\n\n第二段", "乙\n\n第二段\n# 注")


def test_rows_of_other_types_are_left_out_with_their_reason(tmp_path: Path) -> None:
    good = {"instruction": INSTRUCTION, "output": "答案是：A"}
    rows = [good, good | {"input": None}, good | {"input": 7}, good | {"output": None}, None, [1]]
    (tmp_path / "ana.json").write_text(json.dumps(rows, ensure_ascii=False), encoding="utf-8")
    loaded = load(str(tmp_path / "ana.json"))
    assert len(loaded.rows) == 2
    assert loaded.dropped == {"no instruction and output": 2, str(NO_CHAT): 2}


def test_an_answer_that_ends_an_analysis_is_not_trained_twice(tmp_path: Path) -> None:
    analyses = ["甲高，因此答案是：A", "先看甲。答案是：B？不对，应选甲。", "甲高。"]
    questions = [
        {"question": f"问{i}", "options": ["甲", "乙"], "answer": "A", "analysis": analysis}
        for i, analysis in enumerate(analyses)
    ]
    row = {"problem": "题", "questions": questions}
    (tmp_path / "a.jsonl").write_text(json.dumps(row, ensure_ascii=False), encoding="utf-8")
    rows = load(str(tmp_path / "a.jsonl")).rows
    assert [e.question.analysis for e in rows] == ["甲高。", analyses[1], "甲高。"]
    assert all(example.question in example.problem.questions for example in rows)


@pytest.mark.parametrize(
    ("output", "instruction", "reason"),
    [
        ("我不知道。", INSTRUCTION, "the output names none of the options"),
        ("答案是：D", INSTRUCTION, "the output names none of the options"),
        ("答案是：A", "没有标题", "no problem and question found"),
        ("答案是：A", "### 题目:\n题\n\n### 问题:\n问", "no options found"),
    ],
)
def test_an_unusable_row_is_named_with_its_reason(
    tmp_path: Path, output: str, instruction: str, reason: str
) -> None:
    with pytest.raises(TrainerError, match=reason):
        load(write(tmp_path, output, instruction))


def test_a_broken_file_names_its_line(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(problem_file(1) + b"{")
    with pytest.raises(TrainerError, match=r"a\.jsonl: line 2: not JSON"):
        load(str(tmp_path / "a.jsonl"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b'[{"instruction": "x", "output": "y", "score": NaN}]', "row 1, score: NaN is no JSON"),
        (b'[\n{"instruction": "x", "instruction": "y"}]', "row 1, instruction: .*stands twice"),
        (b'[\n{"instruction": 1e999}]', "row 1, instruction: 1e999 would become infinity"),
        (b'[\n{"instruction" "x"}]', r"line 2: not JSON: .* at column 16"),
        (b'[\n"\xff"]', r"line 2: not UTF-8"),
    ],
)
def test_a_broken_list_of_rows_names_the_place(tmp_path: Path, text: bytes, said: str) -> None:
    (tmp_path / "ana.json").write_bytes(text)
    with pytest.raises(TrainerError, match=rf"ana\.json: {said}"):
        load(str(tmp_path / "ana.json"))


def test_a_byte_order_mark_before_a_list_of_rows_is_accepted(tmp_path: Path) -> None:
    path = Path(write(tmp_path, "答案是：A"))
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert len(load(str(path)).rows) == 1


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(TrainerError, match=r"cannot read the training file .*nothing\.jsonl"):
        load(str(tmp_path / "nothing.jsonl"))


@pytest.mark.parametrize("output", ["B", "B.", " B。\n"])
def test_a_bare_label_is_read_as_one(tmp_path: Path, output: str) -> None:
    (example,) = load(write(tmp_path, output)).rows
    assert (example.label, example.question.analysis) == ("B", None)


def test_a_prompt_in_the_recipes_template_is_not_wrapped_twice(tmp_path: Path) -> None:
    fmt = PromptFormat(user_template="材料：{problem}\n问：{question}\n可选：\n{options}")
    own = "做题。\n材料：甲比乙高。\n问：谁高？\n可选：\nA. 甲\nB. 乙"
    loaded = load(write(tmp_path, "答案是：A", own), fmt=fmt)
    (example,) = loaded.rows
    assert (example.problem.text, example.question.text) == ("甲比乙高。", "谁高？")
    assert example.question.options == ("甲", "乙")
    content = fmt.messages(example.problem, example.question)[-1]["content"]
    assert content == "材料：甲比乙高。\n问：谁高？\n可选：\nA. 甲\nB. 乙"
    assert list(loaded.recognized) == [
        "ana.json: instruction, this recipe's own template taken out"
    ]


def test_recognized_templates_are_reported(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(problem_file(2))
    loaded = load(str(tmp_path / "a.jsonl"), write(tmp_path, "甲高。\n答案是：A"))
    assert loaded.recognized == {
        "a.jsonl: problem file": 4,
        "ana.json: instruction, competition's template (### 题目, ### 问题) taken out": 1,
    }


def test_labels_are_read_by_the_recipes_own_patterns_too(tmp_path: Path) -> None:
    fmt = PromptFormat(answer_line="Answer: {label}")
    for output in ("甲高。\nAnswer: A", "甲高。\n答案是：A"):
        (example,) = load(write(tmp_path, output), fmt=fmt).rows
        assert (example.label, example.question.analysis) == ("A", "甲高。")


def test_reasoning_names_no_label_in_training_data(tmp_path: Path) -> None:
    output = "<think>假设答案是：A。</think>\n乙高。\n答案是：B"
    (example,) = load(write(tmp_path, output)).rows
    assert example.label == "B"
    assert example.question.analysis == "<think>假设答案是：A。</think>\n乙高。"


def test_a_row_with_an_unreadable_reply_is_left_out(tmp_path: Path) -> None:
    rows = problem_file(2).splitlines()
    row = json.loads(rows[0])
    row["questions"][0]["analysis"] = "<think>甲高"
    path = tmp_path / "a.jsonl"
    path.write_bytes(json.dumps(row).encode() + b"\n" + rows[1])
    loaded = load(str(path))
    assert (len(loaded.rows), loaded.dropped) == (3, {UNREADABLE: 1})


def test_a_format_that_cannot_read_its_own_answers_is_refused(tmp_path: Path) -> None:
    fmt = PromptFormat(answer_line="Answer: {label}", label_patterns=("选(.)",))
    with pytest.raises(TrainerError, match="label_patterns cannot read"):
        load(write(tmp_path, "答案是：A"), fmt=fmt)


def test_a_files_weight_applies_to_its_rows_and_the_digest(tmp_path: Path) -> None:
    path = write(tmp_path, "答案是：A")
    heavy = load_examples([DataFile(file=path, weight=2.5)], PromptFormat())
    assert [example.weight for example in heavy.rows] == [2.5]
    assert heavy.sha256 != load(path).sha256


@pytest.mark.skipif("QUORUM_REAL_DATA" not in os.environ, reason="QUORUM_REAL_DATA is not set")
def test_every_real_file_loads_unedited() -> None:
    folder = Path(os.environ["QUORUM_REAL_DATA"])
    problems = load(str(folder / "train.jsonl"))
    assert len(problems.rows) == 980
    assert not problems.dropped
    worked = load(str(folder / "ana.json"))
    assert len(worked.rows) + worked.dropped.total() == 829
    assert len(worked.rows) >= 825
    assert all(example.question.analysis for example in worked.rows)
    # options as in the competition's file, with nothing of the prompt after them
    given = {question.options for row in problems.rows for question in row.problem.questions}
    assert sum(row.question.options in given for row in worked.rows) > 800
    with pytest.raises(
        TrainerError, match=r"no question in .* has a label \(1328 x no answer given"
    ):
        load(str(folder / "test.jsonl"))
