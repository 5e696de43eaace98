"""The base's chat template, checked before training: does it render a question whole, and the same
every day?

With a template that prints the date, a model would be trained with the prompts of one day and
served with those of another. So one date is written into the template, which travels with the
weights.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer, PreTrainedTokenizerBase

from contract import Message
from trainer.errors import TrainerError

log = logging.getLogger("trainer")

# Llama 3's templates take this date if they are given none. It never changes, so the same recipe
# makes the same prompts on any day, and a run may last past midnight.
PINNED = datetime(2024, 7, 26)
# This differs from it in every part of a date and a time.
_OTHER = datetime(2031, 12, 9, 16, 57, 48)

_PRINTED_DATE = re.compile(
    r"""\bstrftime_now\s*\(\s*(?P<quote>["'])(?P<format>(?:(?!(?P=quote)).)*)(?P=quote)\s*\)"""
)


def load_tokenizer(base: Path, messages: Sequence[Message]) -> PreTrainedTokenizerBase:
    """The base's tokenizer. Its chat template renders `messages` (one question of the data) whole,
    and the same every day.

    Raises:
        TrainerError: the template cannot do that; the message says what to set.
    """
    tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(base)
    if isinstance(tokenizer.chat_template, dict):
        # several templates by name: a server uses this one for a chat without tools
        tokenizer.chat_template = tokenizer.chat_template.get("default")
    if not tokenizer.chat_template:
        raise TrainerError(
            "the base's tokenizer has no chat template: use an instruct model, or add a template"
        )
    text = _checked(tokenizer, list(messages))
    if _may_change(tokenizer, list(messages)):
        _pin_the_date(tokenizer, list(messages))
    if text.rfind("<think>") > max(text.rfind("</think>"), text.rfind(messages[-1]["content"])):
        log.warning(
            "the base's chat template opens a <think> block for every reply, so replies are "
            "trained and served inside it; a base that does not reason may suit better"
        )
    return tokenizer


def _rendered(
    tokenizer: PreTrainedTokenizerBase,
    messages: list[Message],
    strftime: Callable[[str], str] = PINNED.strftime,
) -> str:
    # this argument wins over the template's own function of that name
    text: Any = tokenizer.apply_chat_template(
        messages, add_generation_prompt=True, tokenize=False, strftime_now=strftime
    )
    return str(text)


def _may_change(tokenizer: PreTrainedTokenizerBase, messages: list[Message]) -> bool:
    """True if the template renders `messages` differently at another time, or asks for the time at
    all: it may print only "not a Sunday", and so be the same today and tomorrow.
    """
    asked: list[str] = []

    def strftime(format: str) -> str:  # the name that templates know
        asked.append(format)
        return _OTHER.strftime(format)

    return _rendered(tokenizer, messages, strftime) != _rendered(tokenizer, messages) or bool(asked)


def _checked(tokenizer: PreTrainedTokenizerBase, messages: list[Message]) -> str:
    """`messages` as the template renders them.

    Raises:
        TrainerError: it cannot, or some of their text is lost.
    """
    remedy = (
        'set format.system_prompt = "" in the recipe, and put the instructions for the model into '
        "format.user_template"
    )
    asks_system = messages[0]["role"] == "system"
    try:
        text = _rendered(tokenizer, messages)
    except Exception as error:  # templates raise what they like
        if asks_system and _renders(tokenizer, messages[1:]):
            raise TrainerError(
                f"the base's chat template refuses a system message ({_line(error)}): {remedy}"
            ) from error
        raise TrainerError(
            f"the base's chat template cannot render a question ({_line(error)}): fix it, or use "
            "another base"
        ) from error
    for message in messages:
        if _bare(message["content"]) in _bare(text):
            continue
        if message["role"] == "system":
            raise TrainerError(
                f"the base's chat template leaves out or changes the system message: {remedy}"
            )
        raise TrainerError(
            "the base's chat template leaves out or changes a question's text: fix it, or use "
            "another base"
        )
    return text


def _renders(tokenizer: PreTrainedTokenizerBase, messages: list[Message]) -> bool:
    try:
        _rendered(tokenizer, messages)
    except Exception:  # noqa: BLE001  # templates raise what they like
        return False
    return True


def _pin_the_date(tokenizer: PreTrainedTokenizerBase, messages: list[Message]) -> None:
    tokenizer.chat_template = _PRINTED_DATE.sub(
        lambda found: f'"{PINNED.strftime(found["format"])}"', str(tokenizer.chat_template)
    )
    if _may_change(tokenizer, messages):
        raise TrainerError(
            "the base's chat template gives another prompt at another time, so a model trained "
            "today would be asked differently later: remove the date (strftime_now) from the "
            f"template in the base's folder {tokenizer.name_or_path}"
        )
    log.warning(
        "the base's chat template prints the date; the template that is trained and published "
        "always prints %s",
        PINNED.date(),
    )


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__


def _bare(text: str) -> str:
    """Without white space, which templates may trim."""
    return "".join(text.split())
