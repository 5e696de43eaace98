"""Which option an answer line names, for the kinds of options in real files."""

import time

import pytest

from contract import PromptFormat, extract_label, label_place

PATTERNS = PromptFormat().label_patterns
PEOPLE = ("甲", "乙", "丙", "丁")
NINE = tuple("一二三四五六七八九")
SETS = ("[a, b]", "[b, c]", "[a, c]", "[b]")
RANGES = ("[0,1)", "(0,1]", "(0,1)", "[0,1]")
DEPICTIONS = ("(A)A brief account", "(B)A detailed depiction", "(C)Nothing")
COLOURS = ("红", "绿", "蓝", "黄")
ROMAN = ("I", "II", "III", "I and II")
MANY_ROMAN = ("I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX")
VITAMINS = ("维生素A", "维生素C", "维生素D", "维生素B")
BLOOD = ("A型", "B型", "AB型", "O型")
UNITS = ("5 A", "5 V", "5 C", "50 A")
FORMULAS = ("CO", "CO2", "Co", "C2O")
CASES = ("us", "US", "Us")
MARKED = ("a!", "a.", "(a)", "“a”", "a  b", "a b")
PYTHON = ("kwargs", "**kwargs", "*kwargs", "2**3")
TITLES = ("《红楼梦》", "《西游记》", "《水浒传》")
FRACTIONS = (r"$\frac{1}{2}$", r"$\frac{1}{3}$", "x²", "x2")
SMALL = ("b", "c", "a", "d")
FULL = ("Ｂ", "Ａ", "ｃ")
DIGITS = ("2", "1", "12", "3.5")
KEYS = ("C major", "D major", "A minor", "E minor")
NOTES = ("甲", "乙", "甲和乙", "以上都不对")
LETTERED = ("A. 红", "B. 绿", "C. 蓝")
LETTERED_AGAIN = ("（A）B", "（B）A", "（C）D")

# answer, options, label
NAMED = [
    # an option's exact text, with any letters and marks in it
    ("[b]", SETS, "D"),
    ("[b]。", SETS, "D"),
    ("**[b]**", SETS, "D"),
    ("D. [b]", SETS, "D"),
    ("[a,c]", SETS, "C"),
    ("(0,1]", RANGES, "B"),
    ("（0, 1］", RANGES, "B"),
    ("$[0,1)$", RANGES, "A"),
    (r"\boxed{(0,1)}", RANGES, "C"),
    ("D. [0,1]", RANGES, "D"),
    ("D. (0,1]", RANGES, None),
    ("0,1", RANGES, None),
    ("[0,1)", ("(0,1)", "(0,2)"), None),
    ("I", ROMAN, "A"),
    ("II", ROMAN, "B"),
    ("I and II", ROMAN, "D"),
    ("I and III", ROMAN, None),
    ("D", ROMAN, "D"),
    ("D. I and II", ROMAN, "D"),
    ("C. III", ROMAN, "C"),
    ("VII", MANY_ROMAN, "G"),
    ("V", MANY_ROMAN, "E"),
    ("I", MANY_ROMAN, "I"),  # the label as a capital letter
    ("Ⅳ", MANY_ROMAN, "D"),
    ("维生素C", VITAMINS, "B"),
    ("是维生素C", VITAMINS, None),
    ("B. 维生素C", VITAMINS, "B"),
    ("维生素E", VITAMINS, None),
    ("B型", BLOOD, "B"),
    ("B型血", BLOOD, None),
    ("AB型", BLOOD, "C"),
    ("C. AB型", BLOOD, "C"),
    ("5 A", UNITS, "A"),
    ("5A", UNITS, "A"),
    ("5 C", UNITS, "C"),
    ("C. 5 C", UNITS, "C"),
    ("C. 5 A", UNITS, None),
    ("A. 50 A", UNITS, None),
    ("CO", FORMULAS, "A"),
    ("Co", FORMULAS, "C"),
    ("CO2", FORMULAS, "B"),
    ("CO₂", FORMULAS, "B"),
    ("us", CASES, "A"),
    ("Us。", CASES, "C"),
    ("uS", CASES, None),
    ("B. US", CASES, "B"),
    ("a!", MARKED, "A"),
    ("a.", MARKED, "B"),
    ("(a)", MARKED, "C"),
    ("“a”", MARKED, "D"),
    ("a  b", MARKED, "E"),
    ("a b", MARKED, "F"),
    ("ab", MARKED, None),
    ("**kwargs", PYTHON, "B"),
    ("*kwargs", PYTHON, "C"),
    ("kwargs", PYTHON, "A"),
    ("2**3", PYTHON, "D"),
    ("`**kwargs`", PYTHON, "B"),
    ("红楼梦", TITLES, "A"),
    ("“西游记”", TITLES, "B"),
    ("《水浒传》。", TITLES, "C"),
    (r"\frac{1}{3}", FRACTIONS, "B"),
    (r"$$\frac{1}{3}$$", FRACTIONS, "B"),
    ("x²", FRACTIONS, "C"),
    ("x2", FRACTIONS, "D"),
    ("b", SMALL, "A"),
    ("a。", SMALL, "C"),
    ("B", SMALL, "B"),
    ("A. b", SMALL, "A"),
    ("A. c", SMALL, None),
    ("Ｂ", FULL, "A"),
    ("B", FULL, "B"),
    ("1", DIGITS, "B"),
    ("A. 2", DIGITS, "A"),
    ("B. 12", DIGITS, None),
    ("C. 12", DIGITS, "C"),
    ("D: 3.5", DIGITS, "D"),
    ("C major", KEYS, "A"),
    ("C major scale", KEYS, None),
    ("A. C major", KEYS, "A"),
    ("C. A minor", KEYS, "C"),
    ("A minor", KEYS, "C"),
    ("甲和乙", NOTES, "C"),
    ("C. 甲和乙", NOTES, "C"),
    ("A. 甲和乙", NOTES, None),
    ("A. 甲", NOTES, "A"),
    ("None of the above.", ("Bill", "None of the above"), "B"),
    # options that begin with their letters
    ("A detailed depiction", DEPICTIONS, "B"),
    ("(B)A detailed depiction", DEPICTIONS, "B"),
    ("B. A detailed depiction", DEPICTIONS, "B"),
    ("(A)A detailed depiction", DEPICTIONS, None),
    ("C. (C)Nothing", DEPICTIONS, "C"),
    ("绿", LETTERED, "B"),
    ("B. 绿", LETTERED, "B"),
    ("（B）绿", LETTERED, "B"),
    ("B. B. 绿", LETTERED, "B"),
    ("C", LETTERED, "C"),
    ("（B）A", LETTERED_AGAIN, "B"),
    ("B、A", LETTERED_AGAIN, "B"),
    # a letter that stands alone
    ("(B)", PEOPLE, "B"),
    ("（ｂ）", PEOPLE, "B"),
    ("**B**", PEOPLE, "B"),
    (r"\boxed{B}", PEOPLE, "B"),
    (r"$\boxed{\text{B}}$", PEOPLE, "B"),
    (r"\(\boxed{\mathrm{(B)}}\)", PEOPLE, "B"),
    (r"\boxed{B. 乙}", PEOPLE, "B"),
    (r"\boxed{B}，因为甲不对", PEOPLE, "B"),
    ("选A", PEOPLE, "A"),
    ("我选择B", PEOPLE, "B"),
    ("应选 C。", PEOPLE, "C"),
    ("B项", PEOPLE, "B"),
    ("B选项", PEOPLE, "B"),
    ("B选项。", PEOPLE, "B"),
    ("选项 B 正确", PEOPLE, "B"),
    ("B是正确的", PEOPLE, "B"),
    ("Ⓑ", PEOPLE, "B"),
    ("I think C", NINE, "C"),
    ("I think C", PEOPLE, "C"),
    ("I would go with option (C).", PEOPLE, "C"),
    ("The correct answer is D", PEOPLE, "D"),
    ("B is correct", PEOPLE, "B"),
    ("A is correct.", PEOPLE, "A"),
    ("I is correct", NINE, "I"),
    ("option B", PEOPLE, "B"),
    ("It’s B", PEOPLE, "B"),
    ("my answer is B", PEOPLE, "B"),
    ("本题选B", PEOPLE, "B"),
    ("故选：B", PEOPLE, "B"),
    ("选项B：乙", PEOPLE, "B"),
    ("B。理由：A不对。", PEOPLE, "B"),
    ("Option B.", PEOPLE, "B"),
    ("B) 乙", PEOPLE, "B"),
    ("b) 乙", PEOPLE, "B"),
    ("B 乙", PEOPLE, "B"),
    ("B乙", PEOPLE, "B"),
    ("B - 乙", PEOPLE, "B"),
    ("B：乙", PEOPLE, "B"),
    ("B</s>", PEOPLE, "B"),
    (" option B", PEOPLE, "B"),
    (" The correct option is B.", PEOPLE, "B"),
    ("<answer>B</answer>", PEOPLE, "B"),
    (r"\boxed{\text{选项B}}", PEOPLE, "B"),
    ("“应选B”", PEOPLE, "B"),
    ("B ✅", PEOPLE, "B"),
    ("✅ B ✔️", PEOPLE, "B"),
    (r"B\. 乙", PEOPLE, "B"),
    ("乙（B）", PEOPLE, "B"),
    ("乙（选项B）", PEOPLE, "B"),
    ("乙（C）", PEOPLE, None),
    # with an explanation
    ("B, because A is wrong", PEOPLE, "B"),
    ("B because A is wrong", PEOPLE, "B"),
    ("B（A错误）", PEOPLE, "B"),
    ("B (A is wrong)", PEOPLE, "B"),
    ("A（不是B）", PEOPLE, "A"),
    ("B，因为A不符合", PEOPLE, "B"),
    ("B而不是A", PEOPLE, "B"),
    ("B. 乙，因为甲和丙都不对", PEOPLE, "B"),
    ("A, I think", NINE, "A"),
    ("B, a friend of 甲", PEOPLE, "B"),
    # a letter that belongs to something else
    ("A detailed plan", PEOPLE, None),
    ("I think so", NINE, None),
    ("C语言", PEOPLE, None),
    ("B超", PEOPLE, None),
    ("Plan B", PEOPLE, None),
    ("B2", PEOPLE, None),
    ("A=1", PEOPLE, None),
    ("B>0", PEOPLE, None),
    ("A-ha", PEOPLE, None),
    # two options, or one option and the text of another
    ("A. 红 和 C. 蓝", COLOURS, None),
    ("A. 红 C. 蓝", COLOURS, None),
    ("A. 红，C. 蓝", COLOURS, None),
    ("A. 红或蓝", COLOURS, None),
    ("A（红）和C（蓝）", COLOURS, None),
    ("A（红）、C（蓝）", COLOURS, None),
    ("**A. 红** 和 **C. 蓝**", COLOURS, None),
    ("A（红），而不是C（蓝）", COLOURS, "A"),
    ("A. 红, not C", COLOURS, "A"),
    ("A. 绿", COLOURS, None),
    ("A（绿）", COLOURS, None),
    ("红和蓝", COLOURS, None),
    ("A或B", PEOPLE, None),
    ("A、C", PEOPLE, None),
    ("A,C", PEOPLE, None),
    ("A和C", PEOPLE, None),
    ("A and C", PEOPLE, None),
    ("A or C", PEOPLE, None),
    ("a or c", PEOPLE, None),
    ("A & C", PEOPLE, None),
    ("A+C", PEOPLE, None),
    ("A选项和C选项", PEOPLE, None),
    ("A, B are both right", PEOPLE, None),
    ("A，B都对", PEOPLE, None),
    ("A，或者乙", PEOPLE, None),
    (r"\boxed{A, C}", PEOPLE, None),
    ("AC", PEOPLE, None),
    ("A到C", PEOPLE, None),
    ("B，也可能是C", PEOPLE, None),
    ("B，应选B", PEOPLE, "B"),
    ("A（60%），B（40%）", PEOPLE, None),
    ("A：0.7, B：0.3", PEOPLE, None),
    ("B (85%)", PEOPLE, "B"),
    # an answer that is taken back
    ("A。不对，应该是B。", PEOPLE, None),
    ("A. 甲，不对，应为B", PEOPLE, None),
    ("A？不，是B", PEOPLE, None),
    ("A... wait, B", PEOPLE, None),
    # options that are ruled out
    ("不是A", PEOPLE, None),
    ("既不是A也不是B", PEOPLE, None),
    ("not B", PEOPLE, None),
    ("not (B)", PEOPLE, None),
    ("除B以外", PEOPLE, None),
    ("B不对", PEOPLE, None),
    ("B is wrong", PEOPLE, None),
    ("B is not correct", PEOPLE, None),
    ("B（错误）", PEOPLE, None),
    ("A（错），B（对）", PEOPLE, None),
    ("A：错误；B：正确", PEOPLE, None),
    ("A. 甲 ❌", PEOPLE, None),
    ("B. 乙，错误的选项是A", PEOPLE, "B"),
    ("B. 错误", ("正确", "错误"), "B"),
    ("B. 不是", ("是", "不是"), "B"),
]


@pytest.mark.parametrize(("answer", "options", "label"), NAMED)
def test_an_answer_names_its_option(
    answer: str, options: tuple[str, ...], label: str | None
) -> None:
    assert extract_label(f"分析。\n答案是：{answer}", options, PATTERNS) == label


@pytest.mark.parametrize(("answer", "options", "label"), NAMED)
def test_an_answer_that_names_no_option_has_no_place(
    answer: str, options: tuple[str, ...], label: str | None
) -> None:
    place = label_place(f"答案是：{answer}", options, PATTERNS)
    assert (place is None) == (label is None)


@pytest.mark.parametrize(
    ("reply", "read"),
    [
        ("分析。\n答案是：**B**", "B"),
        ("答案是：（Ｂ）乙", "Ｂ"),
        ("答案是：我选B，因为A错", "B"),
        ("**答案是：“乙”**", "乙"),
        ("ﬁ² **答案**是： 乙 。", "乙"),
        ("答案是：B\n因为。", "B"),
        ("字" * 30_000 + "答案是：B", "B"),
    ],
)
def test_the_letter_or_text_that_is_read_is_marked(reply: str, read: str) -> None:
    start, end = label_place(reply, PEOPLE, PATTERNS) or (0, 0)
    assert reply[start:end] == read


def test_an_option_of_several_lines_is_read_whole() -> None:
    options = ("否", "否\nC.不确定", "是")
    assert extract_label("答案是：否\nC.不确定", options, PATTERNS) == "B"
    assert extract_label("答案是：B. 否\nC.不确定", options, PATTERNS) == "B"
    assert extract_label("答案是：否\n因为不是。", options, PATTERNS) == "A"


REPEATED = ["应该选", "the answer is ", "((", "B、", "[*_", "答案是：", "$", "`", "**"]


@pytest.mark.parametrize("again", REPEATED)
def test_a_reply_that_repeats_itself_is_read_at_once(again: str) -> None:
    started = time.process_time()
    extract_label("答案是：" + again * (1_000_000 // len(again)), PEOPLE, PATTERNS)
    assert time.process_time() - started < 30  # hours, if repetitions were compared in pairs
