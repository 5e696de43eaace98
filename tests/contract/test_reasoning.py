"""No label is read from reasoning."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract import PromptFormat, extract_label, label_place, split_reasoning

PATTERNS = PromptFormat().label_patterns
PEOPLE = ("甲", "乙", "丙", "丁")

# reply, reasoning, answer
SPLIT = [
    ("答案是：A", "", "答案是：A"),
    ("<think>\n想\n</think>\n\n答案是：A", "想", "\n\n答案是：A"),
    ("想\n</think>\n答案是：A", "想", "\n答案是：A"),
    ("<think></think>答案是：A", "", "答案是：A"),
    ("<think>一</think>二<think>三</think>四", "一二三", "四"),
    ("<think>一</think>二</think>三", "一二", "三"),
    ("<think>\n假设答案是：A，检验", "假设答案是：A，检验", None),
    ("<think>一</think>答案是：A<think>再想", "一答案是：A再想", None),
    ("先说。<think>想</think>答", "先说。想", "答"),
    ("<THINK>想</Think>答", "想", "答"),
    ("<thinking>想</thinking>答", "想", "答"),
    ("<seed:think>想</seed:think>答", "想", "答"),
    ("[THINK]想[/THINK]答", "想", "答"),
    ("<reasoning>想</reasoning>答", "想", "答"),
    ("<scratchpad>想</scratchpad>答", "想", "答"),
    ("◁think▷想◁/think▷答", "想", "答"),
    ("◁think▷想", "想", None),
    ("<|begin_of_thought|>想<|end_of_thought|>答", "想", "答"),
    (
        "<|channel|>analysis<|message|>想<|end|><|start|>assistant<|channel|>final<|message|>答",
        "想<|end|><|start|>assistant",
        "答",
    ),
    ("<|channel|>analysis<|message|>想", "想", None),
    ("若 x<think 则", "", "若 x<think 则"),
    ("", "", ""),
]

# reply, label, the marked text
READ = [
    ("<think>\n假设答案是：A，检验", None, None),
    ("<think>甲？答案是：A</think>\n答案是：B", "B", "B"),
    ("<think>答案是：A，不对，答案是：C</think>\n我不知道。", None, None),
    ("假设答案是：A\n</think>\n\n答案是：**D**", "D", "D"),
    ("<think>答案是：A</think>答案是：B<think>答案是：C", None, None),
    ("<think>ﬁ **答案是：A**</think>**答案是：ｂ**", "B", "ｂ"),
]


@pytest.mark.parametrize(("reply", "reasoning", "answer"), SPLIT)
def test_a_reply_is_split_into_reasoning_and_answer(
    reply: str, reasoning: str, answer: str | None
) -> None:
    assert split_reasoning(reply) == (reasoning, answer)


@pytest.mark.parametrize(("reply", "label", "marked"), READ)
def test_labels_are_read_from_the_answer_alone(
    reply: str, label: str | None, marked: str | None
) -> None:
    assert extract_label(reply, PEOPLE, PATTERNS) == label
    place = label_place(reply, PEOPLE, PATTERNS)
    assert (place and reply[slice(*place)]) == marked


def test_a_boxed_answer_is_read() -> None:
    reply = "<think>所以答案是：A？不。</think>因此 $\\boxed{B}$"
    assert extract_label(reply, PEOPLE, PATTERNS) == "B"
    assert extract_label("由 $x=\\boxed{3}$\n答案是：C", PEOPLE, PATTERNS) == "C"


@given(st.text(), st.text())
def test_the_answer_is_the_end_of_the_reply(reasoning: str, rest: str) -> None:
    _, answer = split_reasoning(f"<think>{reasoning}</think>{rest}")
    assert answer is None or rest.endswith(answer)
