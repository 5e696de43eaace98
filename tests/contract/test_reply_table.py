"""Replies of models that were trained on no contract."""

import time
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract import LABELS, extract_label, label_place
from contract.patterns import OPEN_PATTERNS
from contract.plain import plain
from contract.remarks import named_before_remark
from reply_table import ROWS, Row

PEOPLE = ("甲", "乙", "丙", "丁")
WORDS = [
    *"ABCDEabcde1234甲乙丙丁是否选故不若",
    *["answer", "is", "the", "The", "not", "or", "and", "wait", "I", "option", "correct", "if"],
    *["Answer:", "答案", "答案是", "选项", "因此", "所以", "正确", "如果", "等等", "错误", "故选"],
    *["\n", " ", ".", ",", ":", "：", "。", "，", "?", "(", ")", "**"],
    *["#", "$", "{", "}", '"', "'"],
    *["\\boxed{", "\\text{", "<answer>", "</answer>", '{"answer": "', "<think>", "</think>", "[["],
]
REPLIES = st.lists(st.sampled_from(WORDS), max_size=30).map("".join)


def test_the_table_has_replies_of_both_languages() -> None:
    read = [row for row in ROWS if row.label is not None]
    assert len(ROWS) >= 900
    assert len(ROWS) - len(read) >= 130
    assert sum(any("\u4e00" <= c <= "\u9fff" for c in row.reply) for row in ROWS) >= 180
    assert len({(row.reply, row.options) for row in ROWS}) == len(ROWS)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: ascii(row.reply[:40]))
def test_a_reply_of_the_table_gives_its_label(row: Row) -> None:
    assert extract_label(row.reply, row.options, OPEN_PATTERNS) == row.label


def test_no_reply_of_the_table_is_read_wrongly_or_missed() -> None:
    found = Counter(_finding(row) for row in ROWS)
    assert (found["wrong"], found["missed"]) == (0, 0), found


def _finding(row: Row) -> str:
    label = extract_label(row.reply, row.options, OPEN_PATTERNS)
    if label == row.label:
        return "as written"
    return "missed" if label is None else "wrong"


@pytest.mark.parametrize("row", ROWS, ids=lambda row: ascii(row.reply[:40]))
def test_a_read_label_has_a_place_in_the_reply(row: Row) -> None:
    place = label_place(row.reply, row.options, OPEN_PATTERNS)
    assert (place is None) == (row.label is None)
    if place is not None:
        marked = row.reply[slice(*place)].casefold()
        own = row.options[LABELS.index(row.label or "")]
        assert own.casefold() in marked or (row.label or "").casefold() in plain(marked)


@given(before=REPLIES, after=REPLIES, options=st.lists(st.text(), min_size=1, max_size=26))
def test_a_label_is_always_one_of_the_questions_labels(
    before: str, after: str, options: list[str]
) -> None:
    for reply in (before + after, f"{before}\nThe answer is (C).\n{after}"):
        label = extract_label(reply, options, OPEN_PATTERNS)
        assert label is None or label in LABELS[: len(options)]


@given(text=st.text(), options=st.lists(st.text(), min_size=1, max_size=26))
def test_any_text_gives_a_label_of_the_question_or_none(text: str, options: list[str]) -> None:
    for reply in (text, f"{text}\n{text}", f"答案是{text}", f"answer: {text}", f"选{text}"):
        label = extract_label(reply, options, OPEN_PATTERNS)
        assert label is None or label in LABELS[: len(options)]


@given(before=st.text(alphabet="abc 的了，.\n"), label=st.sampled_from("ABCD"))
def test_what_is_written_before_the_answer_line_changes_nothing(before: str, label: str) -> None:
    for line in (f"答案是：{label}", f"The answer is ({label}).", f"**Answer:** {label}"):
        assert extract_label(f"{before}\n{line}", PEOPLE, OPEN_PATTERNS) == label


def test_a_remark_that_disagrees_leaves_no_answer() -> None:
    said = {
        "C，A、B均错误": "C",
        "C with 80% confidence": "C",
        "丙，即C": "C",
        "丙，因为材料提到了他": "C",
        "C，A、C均错误": None,  # the answer is among those called wrong
        "丙，即B": None,  # another letter
        "C with 60% confidence, and A with 40%": None,
        "C，A错误，B正确": None,
        "丙，因为材料没有提到他": None,
        "C": None,  # no remark
    }
    for text, label in said.items():
        named = named_before_remark(text, PEOPLE)
        assert (named and named.label) == label, text


def test_the_beginning_of_another_option_is_no_answer_before_a_remark() -> None:
    options = ("Rome", "Rome, which is old, and Paris")
    assert named_before_remark("Rome, which is old", options) is None
    assert named_before_remark("Rome, which is old", ("Rome", "Paris")) is not None


def test_traditional_characters_are_read_as_simplified_ones() -> None:
    for reply in ("答案應為C。", "故選C。", "因此，正確的選項是C。", "我選擇C。"):
        assert extract_label(reply, PEOPLE, OPEN_PATTERNS) == "C"
    for reply in ("如果選C，則矛盾。", "不選C。"):
        assert extract_label(reply, PEOPLE, OPEN_PATTERNS) is None


# Each is repeated to a long reply; some were chosen because patterns begin or end with them.
HOSTILE = [
    *["the answer is ", "answer", "answer: ", "if the answer is A, ", "correct ", "my guess is "],
    *["答案是", "答案", "答案是：A", "如果", "如果答案是A，", "故选", "选C", "选", "若A就", "因此"],
    *["so ", "So, A. ", "wait ", "? ", "A\n", "A.\n", "甲\n", "1\n", "1. ", "\n", " ", "\t"],
    *["#", "# ", "> ", "**", "*", "`", "```", "_", "(", "【", "[", "{", "[[", "[[A]]", '"', "'"],
    *["\\boxed{", "\\boxed{A}", '{"answer": ', '"answer"', "<answer>", "A is the correct answer. "],
    *["A ", "is ", "option A ", "选项A", "正确", "A是正确答案", "Answer Answer Answer "],
    *["Question: ", "\nQuestion:\n", "Answer: A\nQuestion: ", "Answer:\n"],
    *["previously ", "before, ", "Tom says ", "Tom said the answer is ", "according to Tom, "],
    *["之前", "之前我", "小李说", "小", "我觉得", "应该是", "it's ", "It's A. ", "otherwise, "],
    *["1. Answer: A\n", "1. ", "第一题", "Q1: the answer is A ", "[{", '{"choice": "A", '],
    *["Rome is the correct answer. ", "option B is correct. ", "the answer is A, which ", "<b>"],
    *[
        "答案是A，B、",
        "答案是A，B错误，",
        "A with ",
        "A (90% ",
        "（",
        "</s>",
        "<|im_end|>",
        "Ans: ",
    ],
]


@pytest.mark.parametrize("again", HOSTILE, ids=ascii)
def test_a_hostile_reply_is_read_at_once(again: str) -> None:
    started = time.process_time()
    for reply in (again * (1_000_000 // len(again)), "答案是 " + again * 3000 + "\nx"):
        extract_label(reply, PEOPLE, OPEN_PATTERNS)
    assert time.process_time() - started < 10  # minutes, if the work grew with the square
