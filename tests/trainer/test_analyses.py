"""The trained part of an analysis leads to the answer, in whole sentences."""

import json
import os
import re
from pathlib import Path

import pytest

from contract import PromptFormat
from trainer.data.analyses import analysis_in
from trainer.data.examples import load_examples
from trainer.recipe import DataFile

OPTIONS = ("甲", "乙", "丙")
PATTERNS = PromptFormat().label_patterns
ENGLISH = (r"answer(?: is)?\s*:(?=\s*([^\n]+))",)


@pytest.mark.parametrize(
    ("reply", "analysis"),
    [
        ("乙高。\n答案是：B", "乙高。"),
        ("乙高。因此答案是：B", "乙高。"),
        ("乙高，因此答案是：B", "乙高。"),
        ("乙高因此答案是：B", "乙高。"),
        ("乙高。\n\n因此，答案是：B。", "乙高。"),
        ("乙高。\n所以，\n\n答案是：B", "乙高。"),
        ("乙高。故答案是：B", "乙高。"),
        ("乙高，故正确答案是：B", "乙高。"),
        ("乙高。综上所述，本题的正确答案为：B", "乙高。"),
        ("乙高。于是最终答案是：B", "乙高。"),
        ("乙高，由此可知答案是：B", "乙高。"),
        ("乙高。我们可以得出答案是：B", "乙高。"),
        ("乙高。根据以上分析，答案是：B", "乙高。"),
        ("乙高。根据以上分析答案是：B", "乙高。"),
        ("乙高。\n\n因此，正确答案是：\n\n答案是：B", "乙高。"),
        ("乙高。\n所以，根据题目描述，可以得出结论：\n\n答案是：B. 乙", "乙高。"),
        ("综上所述，乙比甲高，因此答案是：\n答案是：B", "综上所述，乙比甲高。"),
        ("因此，所选的是乙，即：\n\n答案是：B", "因此，所选的是乙。"),
        ("因为乙最高，答案是：B", "因为乙最高。"),
        ("乙高。\n\n**答案是：B**", "乙高。"),
        ("乙高。\n\n### 最终答案\n\n答案是：B", "乙高。"),
        ("乙高。\n\n**结论：**\n答案是：B", "乙高。"),
        ("乙高。\n\n---\n\n> 【答案是：B】", "乙高。"),
        ("乙高（答案是：B）", "乙高。"),
        ("缘故在乙。他排在最后\n答案是：B", "缘故在乙。他排在最后"),
        ("这个说法不正确\n答案是：B", "这个说法不正确"),
        ("2 + 3 = 5\n答案是：B", "2 + 3 = 5"),
        ("代码：\n```\nf(x)\n```\n答案是：B", "代码：\n```\nf(x)\n```"),
        ("`f(x) = 5`\n\n答案是：B", "`f(x) = 5`"),
        # doubts after the answer, and the answer again
        ("乙高。\n答案是：B. 乙\n\n但是，题目有误。\n\n答案是：B", "乙高。"),
        ("乙高。\n答案是：B\n\n注意：题目有误。", "乙高。"),
        ("甲高？答案是：A\n不对，乙更高。\n答案是：B", "甲高？答案是：A\n不对，乙更高。"),
        # the answer first
        ("答案是：B\n解析：乙高。", "解析：乙高。"),
        ("答案是：B\n解析：乙高。\n因此答案是：B", "解析：乙高。"),
        ("答案是：B\n答案是：B", None),
        ("答案是：B", None),
        ("因此，答案是：B", None),
        ("因此，正确答案是：\n\n答案是：B", None),
        ("乙高。\n答案是：A", None),
        ("乙高。", None),
    ],
)
def test_an_analysis_ends_where_the_answer_begins(reply: str, analysis: str | None) -> None:
    assert analysis_in(reply, "B", OPTIONS, PATTERNS) == analysis


@pytest.mark.parametrize(
    "reply",
    [
        "B is taller. Therefore, the correct answer is: B",
        "B is taller. So the final answer: B",
        "B is taller.\n\nHence,\nanswer: B",
        "B is taller, thus the answer is: B",
        "B is taller.\n\nThe correct answer is:\n\nanswer: B",
    ],
)
def test_english_announcements_are_left_out_too(reply: str) -> None:
    assert analysis_in(reply, "B", OPTIONS, ENGLISH) == "B is taller."


@pytest.mark.skipif("QUORUM_REAL_DATA" not in os.environ, reason="QUORUM_REAL_DATA is not set")
def test_real_analyses_end_in_whole_sentences() -> None:
    folder = Path(os.environ["QUORUM_REAL_DATA"])
    rows = json.loads((folder / "ana.json").read_text(encoding="utf-8"))
    loaded = load_examples([DataFile(file=str(folder / "ana.json"))], PromptFormat()).rows
    hanging = re.compile(r"(?:因此|所以|综上所述|正确)[，,：:]?\Z|[，,：:；;、*#]\Z")
    for example in loaded:
        analysis = example.question.analysis or ""
        assert not hanging.search(analysis), (example.source, analysis[-60:])
        # nothing is added but a full stop
        output = rows[int(example.source.rpartition(" ")[2]) - 1]["output"]
        assert output.startswith((analysis, analysis[:-1])), example.source


@pytest.mark.parametrize(
    ("reply", "analysis"),
    [
        ("<think>甲？答案是：B。</think>\n答案是：B", "<think>甲？答案是：B。</think>"),
        ("<think>甲？</think>乙高。\n答案是：B", "<think>甲？</think>\n乙高。"),
        ("<think>乙高。\n答案是：B", None),
        ("<think>答案是：B</think>我不知道。", None),
    ],
)
def test_reasoning_stays_whole_and_gives_no_answer(reply: str, analysis: str | None) -> None:
    assert analysis_in(reply, "B", OPTIONS, PATTERNS) == analysis
