import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from contract import (
    LABELS,
    Contract,
    ContractError,
    HeldLine,
    Problem,
    PromptFormat,
    Question,
    extract_label,
)
from contracts import make_contract

QUESTION = Question("谁最高？", ("甲", "乙"), "B")
PROBLEM = Problem("1", "甲比乙矮。", (QUESTION,), {})


def test_a_prompt_holds_problem_question_and_labelled_options() -> None:
    fmt = PromptFormat(system_prompt="S", user_template="{problem}|{question}|{options}")
    system, user = fmt.messages(PROBLEM, QUESTION)
    assert system == {"role": "system", "content": "S"}
    assert user == {"role": "user", "content": "甲比乙矮。|谁最高？|A. 甲\nB. 乙"}


def test_without_a_system_prompt_no_system_message_is_sent() -> None:
    messages = PromptFormat(system_prompt="").messages(PROBLEM, QUESTION)
    assert [message["role"] for message in messages] == ["user"]


def test_a_placeholder_in_a_problems_own_text_stays_text() -> None:
    fmt = PromptFormat(system_prompt="", user_template="{problem}|{question}|{options}")
    problem = Problem("1", "set {question} to {options}", (QUESTION,), {})
    assert fmt.messages(problem, QUESTION)[0]["content"].startswith("set {question} to {options}|")


def test_prompts_of_problems_with_a_text_stay_as_they_were_trained() -> None:
    """Byte for byte: published models were trained on this prompt."""
    assert PromptFormat().messages(PROBLEM, QUESTION)[1]["content"] == (
        "题目：\n甲比乙矮。\n\n问题：\n谁最高？\n\n选项：\nA. 甲\nB. 乙"
    )
    fmt = PromptFormat(user_template="a\n\n\n{problem}\n \n{question}\n\n{options}\n")
    assert fmt.messages(PROBLEM, QUESTION)[1]["content"] == (
        "a\n\n\n甲比乙矮。\n \n谁最高？\n\nA. 甲\nB. 乙\n"
    )


@pytest.mark.parametrize(
    ("template", "prompt"),
    [
        (PromptFormat().user_template, "问题：\n谁最高？\n\n选项：\nA. 甲\nB. 乙"),
        ("Q: {question}\n\n{options}\n \nText: {problem}", "Q: 谁最高？\n\nA. 甲\nB. 乙"),
        ("Read.\n\n{problem}\n\n{question}\n{options}", "Read.\n\n谁最高？\nA. 甲\nB. 乙"),
        ("{problem}\n{question}\n\n{options}", "\n谁最高？\n\nA. 甲\nB. 乙"),
    ],
)
def test_a_missing_problem_takes_its_paragraph_along(template: str, prompt: str) -> None:
    fmt = PromptFormat(user_template=template)
    assert fmt.messages(Problem("1", "", (QUESTION,), {}), QUESTION)[1]["content"] == prompt


def test_a_reply_is_the_analysis_and_then_the_answer_line() -> None:
    assert PromptFormat().reply("B", "因为。\n") == "因为。\n答案是：B"
    assert PromptFormat().reply("B", None) == "答案是：B"
    assert PromptFormat(style="answer").reply("B", "因为。") == "答案是：B"


@pytest.mark.parametrize(
    "template", ["{problem}{question}", "{problem}{problem}{question}{options}"]
)
def test_a_template_names_each_part_once(template: str) -> None:
    with pytest.raises(ValidationError, match="each once"):
        PromptFormat(user_template=template)


@pytest.mark.parametrize("patterns", [(), ("(",), ("no group",), ("(two)(groups)",)])
def test_a_label_pattern_has_one_group(patterns: tuple[str, ...]) -> None:
    with pytest.raises(ValidationError):
        PromptFormat(label_patterns=patterns)


@pytest.mark.parametrize(
    ("line", "replies"),
    [
        ("答案是：{label}", ("答案：{}",)),
        ("Answer: {label}", ("Answer: {}", "Answer:{}", "ANSWER: ({})", "**Answer:** {}")),
        ("The answer is {label}.", ("the answer is: {}", "So the answer is {}, because")),
        ("**Final answer: [{label}]**", ("final answer: {}",)),
        ("{label}", ("{}.", "({})", "答案是：{}")),
        ("选{label}", ("我选{}。",)),
    ],
)
def test_a_custom_answer_line_is_read(line: str, replies: tuple[str, ...]) -> None:
    fmt = PromptFormat(answer_line=line)
    options = [f"text {label}" for label in LABELS]
    for said in (line.replace("{label}", "{}"), *replies):
        for label in "AIZ":
            reply = f"Not A.\n{said.format(label)}"
            assert extract_label(reply, options, fmt.label_patterns) == label, reply


def test_given_label_patterns_are_kept() -> None:
    fmt = PromptFormat(answer_line="Answer: {label}", label_patterns=("选(.)",))
    assert (fmt.label_patterns, fmt.is_read) == (("选(.)",), False)


@pytest.mark.parametrize("line", ["Answer", "{label} or {label}"])
def test_an_answer_line_holds_its_label_once(line: str) -> None:
    with pytest.raises(ValidationError, match=r"must hold \{label\} once"):
        PromptFormat(answer_line=line)


def test_a_contract_without_a_held_line_is_still_read(tmp_path: Path) -> None:
    older = json.loads(make_contract().dump())
    del older["held"]
    (tmp_path / "contract.json").write_text(json.dumps(older))
    assert Contract.load(tmp_path).held_line == HeldLine(lead="答案是：", label="{label}")


def test_a_missing_contract_says_where_and_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(
        ContractError, match=r"contract\.json does not exist.*run the trainer first"
    ):
        Contract.load(tmp_path)


def test_a_contract_of_another_version_names_the_field(tmp_path: Path) -> None:
    (tmp_path / "contract.json").write_text('{"version": 2}')
    with pytest.raises(ContractError, match="version"):
        Contract.load(tmp_path)
