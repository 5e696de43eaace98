"""Prompts that ask for all right options, and the sets that a reply may be restricted to."""

import json

import pytest

from contract import HeldLine, Problem, PromptFormat, Question, asking_for_all, label_sets
from contract.multiple import MULTIPLE_PROMPT
from contracts import make_contract

QUESTION = Question("哪些？", ("甲", "乙", "丙"), "AC")
PROBLEM = Problem("1", "甲、乙、丙。", (QUESTION,), {})


def test_a_format_with_a_prompt_for_it_asks_in_that_prompt() -> None:
    fmt = PromptFormat(multiple_prompt=MULTIPLE_PROMPT)
    asked = asking_for_all(fmt)
    system, user = asked.format.messages(PROBLEM, QUESTION)
    assert (system["content"], asked.added) == (MULTIPLE_PROMPT, None)
    assert user == fmt.messages(PROBLEM, QUESTION)[1]
    assert "唯一" not in system["content"]


def test_a_trained_format_keeps_its_prompt_and_gets_one_sentence() -> None:
    fmt = PromptFormat()
    asked = asking_for_all(fmt)
    system, user = asked.format.messages(PROBLEM, QUESTION)
    assert asked.added == (
        "注意：正确选项可能不止一个，请写出所有正确选项的字母，例如“答案是：A、C”。"
    )
    assert system["content"] == fmt.system_prompt + asked.added
    assert user == fmt.messages(PROBLEM, QUESTION)[1]


def test_the_sentence_is_in_the_prompts_language() -> None:
    fmt = PromptFormat(system_prompt="Think.", answer_line="Answer: {label}")
    assert asking_for_all(fmt).format.system_prompt == (
        "Think. Note: more than one option may be right. "
        'Give the letters of all right options, for example "Answer: A, C".'
    )


def test_without_a_system_prompt_the_sentence_begins_the_question() -> None:
    fmt = PromptFormat(system_prompt="", user_template="{problem}\n{question}\n{options}\n答：")
    asked = asking_for_all(fmt)
    (user,) = asked.format.messages(PROBLEM, QUESTION)
    assert asked.added is not None
    assert user["content"].startswith(asked.added + "\n\n甲、乙、丙。\n")
    assert user["content"].endswith("C. 丙\n答：")


@pytest.mark.parametrize(("count", "sets"), [(1, 1), (2, 3), (4, 15), (5, 31)])
def test_a_set_has_one_or_more_of_the_labels(count: int, sets: int) -> None:
    found = label_sets("ABCDE"[:count])
    assert len({*found}) == sets
    assert all("".join(sorted({*one})) == one for one in found)


def test_a_reply_is_held_to_whole_sets() -> None:
    choices = HeldLine(lead="Answer:", label=" {label}").choices(label_sets("AB"))
    assert choices == {" A": "A", " B": "B", " AB": "AB"}


def test_a_format_without_a_prompt_for_it_is_written_as_before() -> None:
    """Digests of recipes and contracts are made of this JSON."""
    assert "multiple_prompt" not in json.loads(make_contract().dump())["format"]
    fmt = PromptFormat(multiple_prompt="All.")
    assert PromptFormat.model_validate_json(fmt.model_dump_json()) == fmt
