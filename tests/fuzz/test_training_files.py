"""Prepared rows that are written for training elsewhere are read back as the same examples."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given, reject
from hypothesis import strategies as st

from contract import LABELS, PromptFormat, own_texts, write_json
from damage import FUZZED
from trainer.data.chat_forms import ChatForm
from trainer.data.examples import Example, load_examples
from trainer.data.writing import write_chats
from trainer.errors import TrainerError
from trainer.recipe import DataFile

ENGLISH = PromptFormat(
    system_prompt="Think first. The last line is the answer.",
    user_template="Text: {problem}\n--\nQ: {question}\n--\n{options}\n--\nWhich one?",
    option_line="({label}) {text}",
    answer_line="The answer is: {label}",
)
PLAIN = ["甲", "the cat", "7", " ", "\n乙", "，", "è", "\u2028", "选项A", "(B) ", "1. ", "{label}"]
# pieces that are taken for something else in a prompt of unknown origin, but not in one of ours
TEMPLATES = ["\n\n", "A. ", "B. 乙", "\n请逐步分析", "### 题目:\n", "\n### 问题:\n", "\nAnswer:"]
WORDS = ["甲", "the cat", "7", " ", "，", "选项A", "(B) "]


def texts(pieces: list[str]) -> st.SearchStrategy[str]:
    joined = st.lists(st.sampled_from(pieces), min_size=1, max_size=6).map("".join)
    return joined.map(str.strip).filter(bool)


def rows(pieces: list[str]) -> st.SearchStrategy[dict[str, Any]]:
    sentences = st.lists(texts(WORDS).map("{}。".format), min_size=1, max_size=3).map("\n".join)

    def question(options: list[str]) -> st.SearchStrategy[dict[str, Any]]:
        return st.fixed_dictionaries(
            {
                "question": texts(pieces),
                "options": st.just(options),
                "answer": st.sampled_from(LABELS[: len(options)]),
                "analysis": sentences,
            }
        )

    questions = st.lists(texts(pieces), min_size=1, max_size=6).flatmap(question)
    return st.fixed_dictionaries(
        {"questions": questions.map(lambda q: [q])}, optional={"problem": texts(pieces)}
    )


def loaded(path: Path, fmt: PromptFormat) -> list[Example]:
    return load_examples([DataFile(file=str(path))], fmt).rows


def check_round_trip(row: dict[str, Any], fmt: PromptFormat, form: ChatForm) -> None:
    (question,) = row["questions"]
    for label, option in zip(LABELS[1:], question["options"], strict=False):
        # such a line begins the next option, for every reader
        lines = option.splitlines()[1:]
        assume(not any(line.startswith((f"{label}. ", f"({label}) ")) for line in lines))
    with tempfile.TemporaryDirectory() as folder:
        posted, written = Path(folder) / "posted", Path(folder) / "written"
        posted.write_text(write_json(row), encoding="utf-8")
        try:
            (before,) = loaded(posted, fmt)
        except TrainerError:  # the label cannot be told from the options' own texts
            reject()
        write_chats([before], fmt, form, written)
        (after,) = loaded(written, fmt)
    assert (after.problem.text, after.label) == (before.problem.text, before.label)
    asked = replace(before.question, options=own_texts(before.question.options))
    kept = None if form is ChatForm.AN else asked.analysis
    assert after.question == replace(asked, analysis=kept)


@FUZZED
@pytest.mark.parametrize(
    ("fmt", "form"),
    [
        (PromptFormat(), ChatForm.ANA),
        (PromptFormat(), ChatForm.SHAREGPT),
        (ENGLISH, ChatForm.ANA),
        (ENGLISH, ChatForm.MESSAGES),
    ],
)
@given(row=rows(PLAIN + TEMPLATES))
def test_rows_with_our_prompts_come_back_whatever_they_quote(
    fmt: PromptFormat, form: ChatForm, row: dict[str, Any]
) -> None:
    check_round_trip(row, fmt, form)


@FUZZED
@given(row=rows(PLAIN))
def test_rows_with_a_bare_label_come_back(row: dict[str, Any]) -> None:
    check_round_trip(row, PromptFormat(), ChatForm.AN)
