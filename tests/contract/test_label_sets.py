"""Sets of labels read from replies. What is not clear must give None: a false set is a vote."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract import LABELS, PromptFormat, extract_label, extract_labels, labels_place
from contract.patterns import OPEN_PATTERNS
from reply_table import ROWS, Row

PATTERNS = PromptFormat().label_patterns
# patterns of other formats: some capture a letter alone, some the rest of the line
OTHERS = (
    r"(?i:answer is)\s*:?\s*\(?([A-Za-z])\)?",
    r"(?i:answers are)\s*:?\s*([^\n]+)",
    r"选\s*([A-Z])",
    r"<answer>([^<]*)</answer>",
)
PEOPLE = ("甲", "乙", "丙", "丁")
FRUIT = ("Apple", "Pear", "Fig", "Plum")
BLOOD = ("A", "B", "AB", "O")
BOTH = ("甲对", "乙对", "A和B都对")

# reply, options, labels
REPLIES = [
    ("答案是：A、C", PEOPLE, "AC"),
    ("分析如下。\n答案是：A、C", PEOPLE, "AC"),
    ("答案是：AC", PEOPLE, "AC"),
    ("答案是：CA", PEOPLE, "AC"),
    ("答案是：ACD。", PEOPLE, "ACD"),
    ("答案是：ABCD", PEOPLE, "ABCD"),
    ("答案是：ＡＣ", PEOPLE, "AC"),
    ("答案是：A和C", PEOPLE, "AC"),
    ("答案是：A，C", PEOPLE, "AC"),
    ("答案是：A, C", PEOPLE, "AC"),
    ("答案是：A,C,D", PEOPLE, "ACD"),
    ("答案是：A、C和D", PEOPLE, "ACD"),
    ("答案是：A, C, and D", PEOPLE, "ACD"),
    ("答案是：A, C and D", PEOPLE, "ACD"),
    ("答案是：A；C", PEOPLE, "AC"),
    ("答案是：A C", PEOPLE, "AC"),
    ("答案是：A & C", PEOPLE, "AC"),
    ("答案是：A+C", PEOPLE, "AC"),
    ("答案是：A以及C", PEOPLE, "AC"),
    ("答案是：A、A、C", PEOPLE, "AC"),
    ("答案是：a, c", PEOPLE, "AC"),
    ("答案是：（A）、（C）", PEOPLE, "AC"),
    ("答案是：[A, C]", PEOPLE, "AC"),
    ("答案是：{A, C}", PEOPLE, "AC"),
    ('答案是：["A", "C"]', PEOPLE, "AC"),
    ("答案是：**A、C**", PEOPLE, "AC"),
    ("**答案是：A、C**", PEOPLE, "AC"),
    ("答案是：`A`和`C`", PEOPLE, "AC"),
    ("答案是：$A, C$", PEOPLE, "AC"),
    ("答案是：选项A和选项C", PEOPLE, "AC"),
    ("答案是：A项和C项", PEOPLE, "AC"),
    ("答案是：A、C两项", PEOPLE, "AC"),
    ("答案是：A、C都正确。", PEOPLE, "AC"),
    ("答案是：我选A和C", PEOPLE, "AC"),
    ("答案是：both A and C", PEOPLE, "AC"),
    ("答案是：the correct options are A and C", PEOPLE, "AC"),
    ("答案是：A and C are both correct.", PEOPLE, "AC"),
    ("答案是：A. 甲；C. 丙", PEOPLE, "AC"),
    ("答案是：A（甲）、C（丙）", PEOPLE, "AC"),
    ("答案是：A: Apple, C: Fig", FRUIT, "AC"),
    ("答案是：甲、丙", PEOPLE, "AC"),
    ("答案是：Apple and Fig", FRUIT, "AC"),
    ("答案是：甲（A）和丙（C）", PEOPLE, "AC"),
    ("答案是：A、C<|im_end|>", PEOPLE, "AC"),
    ("答案是：A、C。因为B、D错误", PEOPLE, "AC"),
    ("答案是：A、C，因为B、D错误", PEOPLE, "AC"),
    ("答案是：A and C, because B is wrong", PEOPLE, "AC"),
    ("答案是：A, C but not D", PEOPLE, "AC"),
    # one label is a set too
    ("答案是：A", PEOPLE, "A"),
    ("答案是：A. 甲", PEOPLE, "A"),
    ("答案是：丙", PEOPLE, "C"),
    ("答案是：A only", PEOPLE, "A"),
    ("答案是：正确", ("正确", "错误"), "A"),
    # in other marks, and in several
    (r"\boxed{A, C}", PEOPLE, "AC"),
    (r"\boxed{AC}", PEOPLE, "AC"),
    (r"$\boxed{\text{A, C}}$", PEOPLE, "AC"),
    (r"\boxed{\{A, C\}}", PEOPLE, "AC"),
    (r"\boxed{A}, \boxed{C}", PEOPLE, "AC"),
    (r"$\boxed{A}$ 和 $\boxed{C}$", PEOPLE, "AC"),
    (r"若\boxed{A}则矛盾，故\boxed{C}", PEOPLE, "C"),
    ('{"answer": ["A", "C"]}', PEOPLE, "AC"),
    ('```json\n{"analysis": "B错", "answer": [\n"A",\n"C"\n]}\n```', PEOPLE, "AC"),
    # one a line
    ("答案是：\n- A. 甲\n- C. 丙", PEOPLE, "AC"),
    ("答案是：\n* **A. 甲**\n* **C. 丙**\n\n综上。", PEOPLE, "AC"),
    ("答案是：\nA. 甲\n\nC. 丙\n\n解析：B不对。", PEOPLE, "AC"),
    ("答案是：AC\n\nA项正确\nB. 乙错", PEOPLE, "AC"),
    ("答案是：A. 甲\nB. 乙不符合条件", PEOPLE, "A"),
    # the last answer counts
    ("答案是：A、C\n等等，重新检查。\n答案是：A、D", PEOPLE, "AD"),
    ("先看答案是：A 的情形，不成立。\n答案是：C", PEOPLE, "C"),
    ("答案是：A、C\n答案是：A、C", PEOPLE, "AC"),
    # letters that may be a text
    ("答案是：AB", BLOOD, None),
    ("答案是：C. AB", BLOOD, "C"),
    ("答案是：A", BLOOD, "A"),
    ("答案是：A和B都对", BOTH, "C"),
    ("答案是：A和B", BOTH, "AB"),
    (r"\boxed{A}\text{ and }\boxed{C}", PEOPLE, "AC"),
    (r"\boxed{A},\ \boxed{B}\quad\boxed{D}", PEOPLE, "ABD"),
    ("答案是：A、C【解析】B项错。", PEOPLE, "AC"),
    # not clear
    (r"\boxed{AC} \boxed{AB}", PEOPLE, None),
    (r"\boxed{A} \text{ or } \boxed{C}", PEOPLE, None),
    ("答案是：A，不过C也对。", PEOPLE, None),
    ("答案是：A。C也没错。", PEOPLE, None),
    ("答案是：A、C，但C存疑", PEOPLE, None),
    ("答案是：A、C\n或者A、B", PEOPLE, None),
    ("答案是：A、C\nActually, D as well.", PEOPLE, None),
    ("答案是：A、C，以及", PEOPLE, None),
    ("答案是：A, C,", PEOPLE, None),
    ("答案是：A, B, C, D (choose one)", PEOPLE, None),
    ("答案是：A或C", PEOPLE, None),
    ("答案是：A/C", PEOPLE, None),
    ("答案是：A or C", PEOPLE, None),
    ("答案是：A、C或D", PEOPLE, None),
    ("答案是：A-C", PEOPLE, None),
    ("答案是：A到C", PEOPLE, None),
    ("答案是：A through C", PEOPLE, None),
    ("答案是：A、E", PEOPLE, None),
    ("答案是：AE", PEOPLE, None),
    ("答案是：AA", PEOPLE, None),
    ("答案是：ac", PEOPLE, None),
    ("答案是：A、C都不对", PEOPLE, None),
    ("答案是：A、C中的一个", PEOPLE, None),
    ("答案是：不是A、C", PEOPLE, None),
    ("答案是：除A、C外", PEOPLE, None),
    ("答案是：A、C，可能还有D", PEOPLE, None),
    ("答案是：A and C, maybe D", PEOPLE, None),
    ("答案是：A and C. Perhaps D as well", PEOPLE, None),
    ("答案是：A、C。不对，重新算", PEOPLE, None),
    ("答案是：A（错）、C（对）", PEOPLE, None),
    ("答案是：A: 60%, C: 40%", PEOPLE, None),
    ("答案是：A, B are wrong, so C", PEOPLE, None),
    ("答案是：A、C。其中A不对", PEOPLE, None),
    ("答案是：A=C", PEOPLE, None),
    ("答案是：A detailed look", PEOPLE, None),
    ("答案是：A. 丙", PEOPLE, None),
    ("答案是：A、丙", PEOPLE, None),
    ("答案是：甲（C）", PEOPLE, None),
    ("答案是：全选", PEOPLE, None),
    ("答案是：A\nC", PEOPLE, None),
    ("答案是：A\n答案是：C", PEOPLE, None),
    ("答案是：\nA. 甲：因为高\nC. 丙：因为矮", PEOPLE, None),
    (r"\boxed{A} or \boxed{C}", PEOPLE, None),
    (r"\boxed{A} 或 C", PEOPLE, None),
    ("<think>答案是：A、C", PEOPLE, None),
    ("答案是：", PEOPLE, None),
    ("A、C", PEOPLE, None),
    ("", PEOPLE, None),
]

WITH_OTHER_PATTERNS = [
    ("The answer is (A) and (C).", "AC"),
    ("The answer is A and C.", "AC"),
    ("The answers are A, C, and D.", "ACD"),
    ("The answer is A, and C is wrong", "A"),
    ("The answer is C. I think so.", "C"),
    ("The answer is A or C.", None),
    ("The answer is A.\nThe answer is C.", None),
    ("故选A、C。", "AC"),
    ("故选AC", "AC"),
    ("选A，选C", "AC"),
    ("选A。选C", None),
    ("选A或C", None),
    ("选A或选C", None),
    ("<answer>A, C</answer>", "AC"),
    ("<answer>A</answer>\n<answer>C</answer>", None),
    ("<answer>A</answer><answer>C</answer>", "AC"),
]


# as models write that were trained on no contract
OF_ANY_MODEL = [
    ("答案是A和C。", "AC"),
    ("故选AC。", "AC"),
    ("综上，本题选A、C。", "AC"),
    ("综上，A、C是正确答案。", "AC"),
    ("**Answer:** A, C", "AC"),
    ("**Answers:** A and C", "AC"),
    ("The correct answers are A, B and C.", "ABC"),
    ("Therefore, the correct options are:\n\n- **A. 甲**\n- **C. 丙**", None),
    ("### Answer\n- **A. 甲**\n- **C. 丙**", "AC"),
    ("A, C\n\nExplanation: B is too far north.", "AC"),
    ("Let us see.\n\nA, C", "AC"),
    ("Compare these two:\nA, C", None),
    ("[[A]] [[C]]", "AC"),
    ("[[A, C]]", "AC"),
    ('{"answer": "A,C"}', "AC"),
    ('{"answer": ["A", "C"]}', "AC"),
    ("Either A, C is the correct answer.", None),
    ("The answer is A, C? But wait, D fits too.", None),
    ("The answer is A, C. But wait, D fits too.", None),
    ("Therefore, A and D are correct.", "AD"),
    ("A and D are correct because B is wrong and C too.", None),
    ("The answer choices are A, B, C and D.", None),
    ("The correct answer choices are A and D.", "AD"),
    ("If the answer is A, C, then B is too.", None),
    ("A and C", "AC"),
    ("A\nC", None),
    ('{"answer": ["A", "C"], "rejected": {"answer": ["B"]}}', "AC"),
    ('{"answer": "A, C", "rejected": {"answer": "B"}}', "AC"),
    # a further letter that is called wrong is not in the set
    ("答案是A、C，D不选", "AC"),
    ("答案是A、C，D错误。", "AC"),
    ("答案是A、C，B、D错误", "AC"),
    ("答案是A、B、D（C除外）", "ABD"),
    ("答案是A，C不对", "A"),
    ("Answer: A, C (B and D are wrong)", "AC"),
    ("Answer: A, C, and D is wrong", "AC"),
    ("The answers are A and C, but D is not correct.", "AC"),
    # it is unclear which of them are refused
    ("答案是A、C、D不选", None),
    ("答案是A，C错，D对", None),
    ("答案是A，B不错", None),
    ("Answer: A, B are wrong, so C", None),
    ("Answer: A, C (D is not wrong)", None),
    # none of these is an answer
    ("不能说答案是A、C", None),
    ("I'm not sure the answers are A and C.", None),
    ("The answers are A and C.\nThe second best answer is B.", "AC"),
    ("The answers are A and C.\nAccording to the first reading, the answer is B.", "AC"),
    ("The answer is A and C. Common mistake: the answer is B.", None),
]


def test_the_table_has_enough_replies() -> None:
    assert len(REPLIES) >= 60


@pytest.mark.parametrize(("reply", "options", "labels"), REPLIES)
def test_a_reply_gives_its_set(reply: str, options: tuple[str, ...], labels: str | None) -> None:
    assert extract_labels(reply, options, PATTERNS) == labels


@pytest.mark.parametrize(("reply", "labels"), WITH_OTHER_PATTERNS)
def test_a_letter_that_a_pattern_cuts_out_of_a_list_is_no_set(
    reply: str, labels: str | None
) -> None:
    assert extract_labels(reply, PEOPLE, OTHERS) == labels


@pytest.mark.parametrize(("reply", "labels"), OF_ANY_MODEL)
def test_sets_of_models_without_a_contract_are_read(reply: str, labels: str | None) -> None:
    assert extract_labels(reply, PEOPLE, OPEN_PATTERNS) == labels


def test_letters_of_the_options_own_are_no_list() -> None:
    names = ("A is taller than B", "B is taller than A", "they are equal")
    assert extract_labels("Let us see.\nA and B", names, OPEN_PATTERNS) is None


@pytest.mark.parametrize("row", ROWS, ids=lambda row: ascii(row.reply[:40]))
def test_no_single_answer_is_read_as_another_set(row: Row) -> None:
    """Where a single answer is unclear, it may be a clear set of several."""
    found = extract_labels(row.reply, row.options, OPEN_PATTERNS)
    assert found in (None, row.label) or (row.label is None and len(found or "") > 1)


def test_nearly_all_single_answers_are_read_as_a_set_of_one() -> None:
    # a remark behind an answer makes a set unclear more often than a single answer
    for single, share in (
        ([row for row in ROWS if row.label is not None and row.seen != "more"], 0.95),
        ([row for row in ROWS if row.label is not None and row.seen == "more"], 0.75),
    ):
        read = [extract_labels(row.reply, row.options, OPEN_PATTERNS) for row in single]
        assert sum(label is not None for label in read) > share * len(single)


@pytest.mark.parametrize(("reply", "options", "labels"), REPLIES)
def test_a_set_of_one_is_what_is_read_of_a_single_answer(
    reply: str, options: tuple[str, ...], labels: str | None
) -> None:
    single = extract_label(reply, options, PATTERNS)
    if labels is not None and len(labels) == 1 and single is not None:
        assert labels == single


@pytest.mark.parametrize(
    ("reply", "place"),
    [
        ("因此，答案是：**A、C**。", "A、C"),
        ("答案是：（ＡＣ）", "ＡＣ"),
        ("<think>x</think>答案是：\n- A. 甲\n- C. 丙\n完", "A. 甲\n- C. 丙"),
        (r"\boxed{A}, \boxed{C}", r"A}, \boxed{C"),
        ("答案是：A或C", None),
    ],
)
def test_the_place_goes_from_the_first_label_to_the_last(reply: str, place: str | None) -> None:
    found = labels_place(reply, PEOPLE, PATTERNS)
    assert (found and reply[found[0] : found[1]]) == place


SETS = st.integers(1, 26).flatmap(
    lambda count: st.tuples(
        st.just(count), st.sets(st.sampled_from(LABELS[:count]), min_size=1).map(sorted)
    )
)


@given(case=SETS, joint=st.sampled_from(["", "、", ", ", "和", " and ", "，", " "]))
def test_a_list_of_letters_is_read_back(case: tuple[int, list[str]], joint: str) -> None:
    count, chosen = case
    options = [f"选项文字{i}" for i in range(count)]
    assert extract_labels(f"分析。\n答案是：{joint.join(chosen)}", options, PATTERNS) == "".join(
        chosen
    )


@given(case=SETS)
def test_a_list_of_options_is_read_back(case: tuple[int, list[str]]) -> None:
    count, chosen = case
    options = [f"text number {i} of many" for i in range(count)]
    lines = "\n".join(f"- {label}. {options[LABELS.index(label)]}" for label in chosen)
    assert extract_labels(f"答案是：\n{lines}", options, PATTERNS) == "".join(chosen)


@given(reply=st.text(alphabet='ABCDE、,和或不对. \n答案是：\\boxed{}[]"', max_size=60))
def test_a_set_holds_labels_of_the_question_in_order(reply: str) -> None:
    found = extract_labels(f"{reply}\n答案是：{reply}", PEOPLE, PATTERNS)
    assert found is None or (found == "".join(sorted({*found})) and {*found} <= {*"ABCD"})
    assert found != ""


@given(options=st.lists(st.text(), min_size=1, max_size=26), reply=st.text())
def test_any_options_and_reply_can_be_read(options: list[str], reply: str) -> None:
    found = extract_labels(f"{reply}\n答案是：{reply}", options, PATTERNS)
    assert found is None or {*found} <= {*LABELS[: len(options)]}
    place = labels_place(f"{reply}\n答案是：{reply}", options, PATTERNS)
    assert (place is None) == (found is None)


@given(options=st.lists(st.text(), min_size=1, max_size=26), reply=st.text())
def test_any_reply_can_be_read_by_any_pattern(options: list[str], reply: str) -> None:
    for text in (reply, f"{reply}\n{reply}", f"答案是{reply}", f"answer: {reply}", f"选{reply}"):
        found = extract_labels(text, options, OPEN_PATTERNS)
        assert found is None or {*found} <= {*LABELS[: len(options)]}


def test_a_reply_that_repeats_itself_is_read_in_little_time() -> None:
    for part in (r"\boxed{A}, ", "答案是：A、", "A、C", "选A", "(", "、"):
        extract_labels(part * 20_000, PEOPLE, PATTERNS)
        extract_labels("答案是：" + part * 20_000, PEOPLE, OTHERS)
        extract_labels("答案是：" + part * 20_000, PEOPLE, OPEN_PATTERNS)
