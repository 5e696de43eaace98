"""Where a reply's reasoning ends and its answer begins.

Reasoning tries options out ("假设答案是：A"), so no label is ever read from it.
"""

from __future__ import annotations

import re

# The tags of the models people serve: DeepSeek, Qwen, GLM and Hunyuan write <think>, Seed-OSS
# <seed:think>, Magistral [THINK], others <thinking> or <thought>.
_TAG = re.compile(
    r"<(?P<close>/)?(?:seed:)?(?:think|thinking|thought)>|\[(?P<close_bracket>/)?THINK\]",
    re.IGNORECASE,
)


def split_reasoning(reply: str) -> tuple[str, str | None]:
    """The reasoning, without its tags, and the answer: all of `reply` behind the last closing tag.

    The answer is None where a block is still open at the end: the reply was cut while it reasoned.
    A reply may begin inside a block that the chat template opened; then it holds a closing tag
    alone. Without tags there is no reasoning, and the whole reply is the answer.
    """
    tags = list(_TAG.finditer(reply))
    if not tags:
        return "", reply
    last = tags[-1]
    closed = bool(last["close"] or last["close_bracket"])
    reasoning = _TAG.sub("", reply[: last.start()] if closed else reply).strip()
    return reasoning, reply[last.end() :] if closed else None
