"""Every option of every question can be named by its text, its letter, and both."""

import os
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract import LABELS, PromptFormat, extract_label, parse_problems

PATTERNS = PromptFormat().label_patterns
# parts of options: letters, digits, marks, brackets, spaces, words of both languages
PIECES = [
    *"abABCIV013.。,，、:()[]{}（）“”*$ ",
    "甲",
    "乙",
    "和",
    "不",
    "型",
    "and",
    "is",
    "的",
    r"\text",
]
TEXTS = st.lists(st.sampled_from(PIECES), min_size=1, max_size=5).map("".join)
TEXTS = TEXTS.filter(lambda text: text.replace("**", "").strip())  # "答案是：**" begins bold text


def misread(options: Sequence[str]) -> list[tuple[str, str | None, str]]:
    """Answers that are misread, each with the label read and the label meant."""
    labels = LABELS[: len(options)]
    said = []
    for label, text in zip(labels, options, strict=True):
        said += [(label, label), (f"{label}. {text}", label)]
        same = labels[options.index(text)]  # if texts are identical, the first is meant
        if text.strip() and text.strip() not in [*labels]:  # the text is a label itself
            said.append((text, same))
    read = [(answer, extract_label(f"答案是：{answer}", options, PATTERNS)) for answer, _ in said]
    return [
        (*found, meant) for found, (_, meant) in zip(read, said, strict=True) if found[1] != meant
    ]


@given(st.lists(TEXTS, min_size=1, max_size=9, unique_by=str.strip))
def test_each_generated_option_is_read_as_itself(options: list[str]) -> None:
    assert misread(options) == []


@pytest.mark.skipif("QUORUM_REAL_DATA" not in os.environ, reason="QUORUM_REAL_DATA is not set")
@pytest.mark.parametrize("name", ["train.jsonl", "test.jsonl"])
def test_each_option_of_the_real_files_is_read_as_itself(name: str) -> None:
    data = (Path(os.environ["QUORUM_REAL_DATA"]) / name).read_bytes()
    questions = [question for problem in parse_problems(data) for question in problem.questions]
    assert len(questions) > 900
    assert [found for question in questions for found in misread(question.options)] == []
