import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract import LABELS, PromptFormat, extract_label

PATTERNS = PromptFormat().label_patterns
PEOPLE = ("甲", "乙", "丙", "丁")
FRUIT = ("Apple", "Pear", "Fig")
TRUTH = ("是", "否")

# reply, options, label
REPLIES = [
    ("分析如下。\n答案是：B", PEOPLE, "B"),
    ("分析如下。\n答案是:B", PEOPLE, "B"),
    ("答案是： C ", PEOPLE, "C"),
    ("答案是：d", PEOPLE, "D"),
    ("答案是：Ａ", PEOPLE, "A"),
    ("答案：B", PEOPLE, "B"),
    ("答案为：B", PEOPLE, "B"),
    ("答案是：B。", PEOPLE, "B"),
    ("答案是：B.", PEOPLE, "B"),
    ("答案是：（B）", PEOPLE, "B"),
    ("答案是：(B)", PEOPLE, "B"),
    ("答案是：【B】", PEOPLE, "B"),
    ("答案是：[B]", PEOPLE, "B"),
    ("**答案是：B**", PEOPLE, "B"),
    ("答案是：**B**", PEOPLE, "B"),
    ("答案是：`B`", PEOPLE, "B"),
    ("答案是：$B$", PEOPLE, "B"),
    ("答案是：“B”", PEOPLE, "B"),
    ("答案是：选项B", PEOPLE, "B"),
    ("答案是：B选项", PEOPLE, "B"),
    ("答案是：B. 乙", PEOPLE, "B"),
    ("答案是：B、乙", PEOPLE, "B"),
    ("答案是：B（乙）", PEOPLE, "B"),
    ("答案是：\nB", PEOPLE, "B"),
    ("答案是：乙", PEOPLE, "B"),
    ("答案是：“乙”。", PEOPLE, "B"),
    ("答案是：否", TRUTH, "B"),
    ("答案是：A. 是", TRUTH, "A"),
    ("答案是：Pear", FRUIT, "B"),
    ("答案是：Apple", FRUIT, "A"),
    ("答案是：ｂ", PEOPLE, "B"),
    ("答案是：［C］", PEOPLE, "C"),
    ("答案是：《C》", PEOPLE, "C"),
    ("答案是：$\\boxed{B}$", PEOPLE, "B"),
    ("答案是：__B__", PEOPLE, "B"),
    ("**答案**：B", PEOPLE, "B"),
    ("因此本题的答案是：**C. 丙**", PEOPLE, "C"),
    ("答案是：B<|im_end|>", PEOPLE, "B"),
    ("答案是：B\n\n解析：甲和丙都不符合。", PEOPLE, "B"),
    ("答案是：A（不是B）", PEOPLE, "A"),
    ("答案是：None of the above", ("Bill", "None of the above"), "B"),
    ("答案是：2", ("1", "2"), "B"),
    ("答案是：3.5", ("3", "3.5"), "B"),
    # the last one counts
    ("先看答案是：A 的情形，不成立。\n答案是：C", PEOPLE, "C"),
    ("答案是：A\n等等，重新检查。\n答案是：D", PEOPLE, "D"),
    ("所以，正确答案是：\n\n答案是：B", PEOPLE, "B"),
    ("综上，答案是：\n答案是：A. 甲", PEOPLE, "A"),
    # a label is a label even if another option has it as text
    ("答案是：B", ("B", "A"), "B"),
    # if two options have the same text, the first is meant
    ("答案是：同", ("异", "同", "同"), "B"),
    # two answers count as none, on one line or on two
    (r"\boxed{A}\boxed{B}", PEOPLE, None),
    (r"$\boxed{A}$ 和 $\boxed{C}$", PEOPLE, None),
    (r"$\boxed{C}$, $\boxed{C}$", PEOPLE, "C"),
    (r"若\boxed{A}则矛盾，故\boxed{C}", PEOPLE, "C"),
    ("答案是：A\nC", PEOPLE, None),
    ("答案是：\n- A. 甲\n- C. 丙", PEOPLE, None),
    ("答案是：A. 甲\nB. 乙不符合条件", PEOPLE, "A"),
    # no label can be read
    ("", PEOPLE, None),
    ("我不知道。", PEOPLE, None),
    ("B", PEOPLE, None),
    ("答案是：", PEOPLE, None),
    ("答案是：E", PEOPLE, None),
    ("答案是：C", TRUTH, None),
    ("答案是：都不对", PEOPLE, None),
    ("答案是：Banana", FRUIT, None),
    ("答案是：A和B", PEOPLE, None),
    ("答案是：A、C", PEOPLE, None),
    ("答案是：A或B", PEOPLE, None),
    ("答案是：A/B", PEOPLE, None),
    ("答案是：A B", PEOPLE, None),
    ("答案是：AB", PEOPLE, None),
    ("答案是：A 或者 C", PEOPLE, None),
    ("答案是：A；B", PEOPLE, None),
    ("答案是：甲和乙", PEOPLE, None),
    ("答案是：不是", TRUTH, None),
    ("答案是：第二个选项", PEOPLE, None),
    # cut by the token limit: a complete answer counts, a guess does not
    ("甲不符合条件，因此答案是", PEOPLE, None),
    ("甲不符合条件，因此答案是：", PEOPLE, None),
    ("逐一检查：A 不对，B 不对，C 也不对，所以只能选", PEOPLE, None),
    ("答案是：A\n等等，重新检查：", PEOPLE, "A"),
    ("答案是：A。再验证一遍，答案是", PEOPLE, "A"),
]


def test_the_table_has_enough_replies() -> None:
    assert len(REPLIES) >= 60


@pytest.mark.parametrize(("reply", "options", "label"), REPLIES)
def test_a_reply_gives_its_label(reply: str, options: tuple[str, ...], label: str | None) -> None:
    assert extract_label(reply, options, PATTERNS) == label


@given(reply=st.text(), options=st.lists(st.text(), min_size=1, max_size=26))
def test_a_label_is_always_one_of_the_questions_labels(reply: str, options: list[str]) -> None:
    label = extract_label(f"{reply}\n答案是：{reply}", options, PATTERNS)
    assert label is None or label in LABELS[: len(options)]


@given(count=st.integers(1, 26), data=st.data())
def test_an_answer_line_the_contract_writes_is_read_back(count: int, data: st.DataObject) -> None:
    label = data.draw(st.sampled_from(LABELS[:count]))
    options = [f"选项文字{i}" for i in range(count)]
    reply = PromptFormat().reply(label, data.draw(st.text(alphabet="分析ABC\n，。", max_size=40)))
    assert extract_label(reply, options, PATTERNS) == label
