"""The named formats, a user's own, and the share of Chinese that chooses between them."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract import (
    LABELS,
    HeldLine,
    Problem,
    PromptFormat,
    Question,
    asking_for_all,
    extract_label,
    extract_labels,
)
from contract.formats import (
    CHINESE,
    CHINESE_FROM,
    ENGLISH,
    FormatFileError,
    chinese_share,
    format_of_file,
)
from contract.patterns import OPEN_PATTERNS

WHOLE = 'system_prompt = "S"\nuser_template = "{problem}|{question}|{options}"\n'
OWN = WHOLE + 'answer_line = "Verdict: {label}"\n'


def problems(text: str, *options: str) -> list[Problem]:
    return [Problem("1", text, (Question(text, options or ("x", "y")),), {})]


def write(folder: Path, text: str) -> Path:
    path = folder / "own.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("fmt", [CHINESE, ENGLISH])
def test_a_format_reads_the_answer_line_that_it_asks_for(fmt: PromptFormat) -> None:
    options = [f"option {label}" for label in LABELS]
    for label in LABELS:
        reply = fmt.reply(label, "Some steps.")
        assert extract_label(reply, options, fmt.label_patterns) == label


def test_the_english_format_asks_in_english() -> None:
    question = Question("Which city?", ("Paris", "Rome"))
    system, user = ENGLISH.messages(Problem("1", "A river.", (question,), {}), question)
    assert '"The answer is (X)."' in system["content"]
    assert "closed" not in system["content"]
    assert user["content"] == (
        "Problem:\nA river.\n\nQuestion:\nWhich city?\n\nOptions:\nA. Paris\nB. Rome"
    )


def test_a_restricted_reply_begins_with_the_answer_line() -> None:
    assert HeldLine.of(ENGLISH).lead == "The answer is ("


@pytest.mark.parametrize(
    ("text", "is_chinese"),
    [
        ("谁最高？", True),
        ("已知函数 $f(x)=\\sin(2x+\\frac{\\pi}{3})$，则 $f(0)$ 等于", True),
        ("Who is the tallest?", False),
        ("What does the word 学习 mean in this sentence, if it is used as a noun?", False),
        ("だれがいちばん背が高いですか。東京都知事選挙", False),
        ("누가 가장 키가 큽니까?", False),
        ("3 + 4 = ?", False),
        ("", False),
    ],
)
def test_the_share_of_chinese_characters_tells_the_language(text: str, is_chinese: bool) -> None:
    assert (chinese_share(problems(text)) >= CHINESE_FROM) == is_chinese


def test_options_count_for_the_share() -> None:
    assert chinese_share(problems("", "甲乙", "ab")) == 0.5


@given(st.lists(st.text(), min_size=1, max_size=4))
def test_the_share_is_a_share(texts: list[str]) -> None:
    assert 0 <= chinese_share(problems(texts[0], *texts)) <= 1


def test_a_format_of_ones_own_is_read(tmp_path: Path) -> None:
    fmt = format_of_file(write(tmp_path, OWN))
    assert (fmt.system_prompt, fmt.answer_line) == ("S", "Verdict: {label}")
    assert fmt.label_patterns[1:] == OPEN_PATTERNS
    assert extract_label("Verdict: B", ["x", "y"], fmt.label_patterns) == "B"
    assert extract_label("The answer is B.", ["x", "y"], fmt.label_patterns) == "B"


def test_a_format_of_ones_own_may_have_its_patterns_alone(tmp_path: Path) -> None:
    text = OWN + "label_patterns = ['Verdict: (.)']\n"
    fmt = format_of_file(write(tmp_path, text))
    assert fmt.label_patterns == ("Verdict: (.)",)


def test_a_known_answer_line_needs_no_pattern_of_its_own(tmp_path: Path) -> None:
    fmt = format_of_file(write(tmp_path, WHOLE + 'answer_line = "Answer: {label}"\n'))
    assert fmt.label_patterns == OPEN_PATTERNS


def test_a_format_of_ones_own_may_ask_for_all_right_options(tmp_path: Path) -> None:
    text = 'system_prompt = "One."\nmultiple_prompt = "All."\nanswer_line = "Answer: {label}"\n'
    text += 'user_template = "{problem} {question} {options}"\n'
    (tmp_path / "own.toml").write_text(text)
    asked = asking_for_all(format_of_file(tmp_path / "own.toml"))
    assert (asked.format.system_prompt, asked.added) == ("All.", None)


def test_the_example_can_be_used(root: Path) -> None:
    fmt = format_of_file(root / "formats/example.toml")
    assert extract_label("B", ["x", "y"], fmt.label_patterns) == "B"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("system_prompt = \n", "own.toml: the file: is not TOML in UTF-8: .*line 1"),
        (WHOLE, "own.toml: answer_line: Field required"),
        (OWN + 'sytle = "x"\n', "own.toml: sytle: Extra inputs"),
        (OWN + 'style = "loud"\n', "own.toml: style: Input should be 'analysis' or 'answer'"),
        (WHOLE + 'answer_line = "?"\n', "own.toml: answer_line: must hold {label} once"),
        (WHOLE + "answer_line = 3\n", "own.toml: answer_line: Input should be a valid string"),
        (
            OWN.replace("|{options}", ""),
            "own.toml: user_template: must hold {problem}, {question} and {options}",
        ),
        (OWN + "label_patterns = ['(']\n", "own.toml: label_patterns: .* is not a regular"),
        (OWN + "label_patterns = []\n", "own.toml: label_patterns: must hold at least one"),
        (OWN + "label_patterns = ['选(.)']\n", "own.toml: label_patterns: cannot read the label"),
        ("#" * (1 << 20) + "\n", "own.toml: the file: is larger than 1 MiB"),
    ],
)
def test_a_fault_names_file_place_and_reason(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(FormatFileError, match=said.replace("{", r"\{").replace("}", r"\}")):
        format_of_file(write(tmp_path, text))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FormatFileError, match=r"no.toml cannot be read: No such file.*auto, zh"):
        format_of_file(tmp_path / "no.toml")


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(FormatFileError, match="is not TOML in UTF-8"):
        format_of_file(tmp_path / "own.toml")


@pytest.mark.parametrize(
    ("fmt", "line"), [(CHINESE, "答案是：A、C"), (ENGLISH, "The answer is (A, C).")]
)
def test_a_named_format_asks_for_all_options_in_its_language(fmt: PromptFormat, line: str) -> None:
    asked = asking_for_all(fmt)
    assert asked.added is None
    assert asked.format.system_prompt == fmt.multiple_prompt
    assert extract_labels(line, ["甲", "乙", "丙"], asked.format.label_patterns) == "AC"
