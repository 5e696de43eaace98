"""A labelled question out of a row that holds a prompt and its reply (`contract.files.chats`).

The prompt is taken apart into problem, question and options, so that the row is trained under the
same contract as all others and is not wrapped in a second prompt.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from contract import LABELS, PromptFormat, Question, Sentence, extract_label, extract_labels
from contract.files.chats import ChatShape, chat_of, chat_shape
from contract.files.shapes import RowFaultsError
from trainer.data.analyses import analysis_in
from trainer.data.prompt_parts import OwnForm, take_apart

SEVERAL_RIGHT = Sentence(
    "several-right", "several right answers; training teaches a reply with one"
)
_BARE_LABEL = re.compile(r"\s*([A-Z])\s*[.．。]?\s*")
_NAMES: dict[ChatShape | None, str] = {
    "instruction": "instruction",
    "sharegpt": "ShareGPT",
    "messages": "messages",
}

_NO_PARTS = Sentence("no-problem-found", "no problem and question found in the instruction")
_NO_OPTIONS = Sentence("no-options-found", "no options found in the instruction")
_NO_OPTION_NAMED = Sentence("output-names-no-option", "the output names none of the options")


class Labelled(NamedTuple):
    """`problem` is the problem's text; `form` names the row's shape and its prompt's template."""

    problem: str
    question: Question
    label: str
    form: str


def labelled(values: Mapping[str, Any], own: OwnForm, patterns: Sequence[str]) -> Labelled:
    """The question in a row and its key. The row's own prompt and its system prompt are dropped:
    the contract's take their place.

    Raises:
        RowFaultsError: with the reason why the row gives no example.
    """
    chat = chat_of(values)
    parts = take_apart(chat.prompt, own, chat.system)
    if parts is None:
        raise RowFaultsError(("", _NO_PARTS))
    if not parts.question or not parts.options:
        raise RowFaultsError(("", _NO_OPTIONS))
    bare = _BARE_LABEL.fullmatch(chat.reply)
    label = bare[1] if bare else extract_label(chat.reply, parts.options, patterns)
    if label is None or label not in LABELS[: len(parts.options)]:
        several = _names_several(chat.reply, parts.options, patterns)
        raise RowFaultsError(("", SEVERAL_RIGHT if several else _NO_OPTION_NAMED))
    analysis = analysis_in(chat.reply, label, parts.options, patterns)
    question = Question(parts.question, parts.options, label, analysis)
    form = _NAMES[chat_shape(values)]
    if chat.turns > 1:
        form += " of several turns, the last question"
    return Labelled(parts.problem, question, label, f"{form}, {parts.template}")


def _names_several(reply: str, options: Sequence[str], patterns: Sequence[str]) -> bool:
    """True if `reply` gives several options as its answer, in an answer line or by labels alone."""
    bare = PromptFormat().answer_line.replace("{label}", reply.strip())
    found = (extract_labels(one, options, patterns) for one in (reply, bare))
    return any(labels is not None and len(labels) > 1 for labels in found)
