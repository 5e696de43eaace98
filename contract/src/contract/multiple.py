"""Questions that ask for all right options, from a format that asks for one.

Answers are sets then, written as their labels in order: "AC".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import combinations
from typing import NamedTuple

from contract.contract import PromptFormat

MULTIPLE_PROMPT = (
    "你负责解答不定项选择题，每题可能有一个或多个正确选项。未给出的事实一律视为假（闭世界假设）。"
    "请先逐步推理，再另起最后一行，按“答案是：X、Y”的格式写出所有正确选项的字母；"
    "如果只有一个，就写“答案是：X”。"
)
# With more options there are too many sets to restrict a reply to: 31 of five, 63 of six.
MOST_FOR_SETS = 5
_CHINESE = re.compile("[\u4e00-\u9fff]")


class AskedForAll(NamedTuple):
    """A format that asks for all right options. `added` is the sentence that its prompt has beyond
    the given format's; None if that format has a prompt of its own for it.
    """

    format: PromptFormat
    added: str | None


def asking_for_all(fmt: PromptFormat) -> AskedForAll:
    """`fmt` with `multiple_prompt` as its system prompt.

    If it has none, as a format that a model was trained on, its prompt stays and one sentence is
    added: at the end of the system prompt, or before the user template if there is no system
    prompt. A template may end with "Answer:".
    """
    if fmt.multiple_prompt is not None:
        return AskedForAll(fmt.model_copy(update={"system_prompt": fmt.multiple_prompt}), None)
    added = _sentence(fmt)
    if fmt.system_prompt:
        between = "" if added[0] > "\u2e80" else " "
        changed = {"system_prompt": f"{fmt.system_prompt.rstrip()}{between}{added}"}
    else:
        changed = {"user_template": f"{added}\n\n{fmt.user_template.lstrip()}"}
    return AskedForAll(fmt.model_copy(update=changed), added)


def label_sets(labels: str) -> tuple[str, ...]:
    """All sets of one or more of `labels`, smaller ones first: "A", "B", "AB"."""
    return tuple(_sets(labels))


def _sets(labels: str) -> Iterator[str]:
    for size in range(1, len(labels) + 1):
        yield from map("".join, combinations(labels, size))


def _sentence(fmt: PromptFormat) -> str:
    """The sentence in the language of the format's prompt, with its answer line as the example."""
    if _CHINESE.search(fmt.system_prompt or fmt.user_template):
        line = fmt.answer_line.replace("{label}", "A、C")
        return f"注意：正确选项可能不止一个，请写出所有正确选项的字母，例如“{line}”。"
    line = fmt.answer_line.replace("{label}", "A, C")
    return (
        "Note: more than one option may be right. Give the letters of all right options, for "
        f'example "{line}".'
    )
