"""Splits a reply into its reasoning and its answer.

Reasoning tries out options ("假设答案是：A"), so no label is read from it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

# Tags by model: DeepSeek, Qwen, GLM and Hunyuan write <think>, Seed-OSS <seed:think>, Magistral
# [THINK], Kimi ◁think▷, OpenThinker <|begin_of_thought|>, gpt-oss its channels. Models that are
# asked for tags write <thinking>, <thought>, <reasoning> or <scratchpad>.
_TAG = re.compile(
    r"<(?P<close>/)?(?:seed:)?(?:think|thinking|thought|reasoning|scratchpad)>|"
    r"\[(?P<close_bracket>/)?THINK\]|◁(?P<close_triangle>/)?think▷|"
    r"<\|(?:begin|(?P<close_end>end))_of_thought\|>|"
    r"<\|channel\|>(?:analysis|commentary|(?P<close_final>final))<\|message\|>",
    re.IGNORECASE,
)


def split_reasoning(reply: str) -> tuple[str, str | None]:
    """The reasoning without its tags, and the answer: all of `reply` after the last closing tag.

    The answer is None if a block is still open at the end: the reply was cut during its reasoning.
    If the chat template opened the block, the reply holds only the closing tag. Without tags there
    is no reasoning, and the whole reply is the answer.
    """
    tags = list(_TAG.finditer(reply))
    if not tags:
        return "", reply
    last = tags[-1]
    closed = any(last.groups())
    reasoning = _TAG.sub("", reply[: last.start()] if closed else reply).strip()
    return reasoning, reply[last.end() :] if closed else None


def without_tags_of(texts: Iterable[str], reply: str) -> str:
    """`reply` with spaces in place of the tags in each text that it quotes. Its length is kept.

    A tag that an option's own text holds is no tag of the reply, unless the text is nothing else.
    """
    for text in texts:
        if _TAG.search(text) and _TAG.sub("", text).strip():
            reply = reply.replace(text, _TAG.sub(lambda tag: " " * len(tag[0]), text))
    return reply
