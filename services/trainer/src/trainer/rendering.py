"""Examples as token ids: the contract's prompt in the tokenizer's chat template, then the reply and
its end token.

Loss falls on the reply and its end token alone. A row that is too long is never cut.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from transformers import PreTrainedTokenizerBase

from contract import Lengths, Message, Probe, PromptFormat
from trainer.data import Example
from trainer.errors import TrainerError

MAX_DROPPED_SHARE = 0.01


@dataclass(frozen=True)
class Row:
    """Token ids of a prompt (generation prompt included) and of the reply (end token included)."""

    prompt: list[int]
    reply: list[int]


def prompt_ids(tokenizer: PreTrainedTokenizerBase, messages: list[Message]) -> list[int]:
    """The token ids a server must make of `messages` before it generates."""
    ids: Any = tokenizer.apply_chat_template(
        messages, add_generation_prompt=True, tokenize=True, return_dict=False
    )
    return list(ids)


def end_token(tokenizer: PreTrainedTokenizerBase) -> int:
    """The token that ends a reply in the chat template itself (`<|im_end|>` in ChatML), not the pad
    token.

    Raises:
        TrainerError: the tokenizer has no chat template, or a reply ends with no special token in
        it.
    """
    if not tokenizer.chat_template:
        raise TrainerError(
            "the base's tokenizer has no chat template; use an instruct model, or add one to it"
        )
    mark = "X"
    asked = [{"role": "user", "content": "?"}]
    text: Any = tokenizer.apply_chat_template(
        [*asked, {"role": "assistant", "content": mark}], tokenize=False
    )
    after = tokenizer(text[text.rindex(mark) + len(mark) :], add_special_tokens=False)["input_ids"]
    special = {int(i) for i, token in tokenizer.added_tokens_decoder.items() if token.special}
    if not after or after[0] not in special:
        raise TrainerError(
            "the chat template ends no reply with a special token; a model could not learn to stop"
        )
    return int(after[0])


def render(
    examples: list[Example], fmt: PromptFormat, tokenizer: PreTrainedTokenizerBase, max_length: int
) -> tuple[list[Row], list[str]]:
    """Rows for `examples`, and the sources of those dropped for length.

    Raises:
        TrainerError: more than 1 % of the rows are longer than `max_length`.
    """
    end = end_token(tokenizer)
    rows, too_long, longest = [], [], (0, "")
    for example in examples:
        prompt = prompt_ids(tokenizer, fmt.messages(example.problem, example.question))
        reply = fmt.reply(example.label, example.question.analysis)
        ids = [*tokenizer(reply, add_special_tokens=False)["input_ids"], end]
        length = len(prompt) + len(ids)
        longest = max(longest, (length, example.source))
        if length > max_length:
            too_long.append(example.source)
        else:
            rows.append(Row(prompt, ids))
    if len(too_long) > MAX_DROPPED_SHARE * len(examples):
        raise TrainerError(
            f"{len(too_long)} of {len(examples)} rows are longer than max_length = {max_length} "
            f"tokens; the longest has {longest[0]} ({longest[1]}). Set training.max_length = "
            f"{longest[0]} to keep them all."
        )
    return rows, too_long


def lengths(rows: list[Row], max_length: int) -> Lengths:
    return Lengths(
        longest_prompt=max(len(row.prompt) for row in rows),
        longest_reply=max(len(row.reply) for row in rows),
        limit=max_length,
    )


def probe(example: Example, fmt: PromptFormat, tokenizer: PreTrainedTokenizerBase) -> Probe:
    messages = fmt.messages(example.problem, example.question)
    return Probe(messages=tuple(messages), token_ids=tuple(prompt_ids(tokenizer, messages)))


def chat_template_sha256(tokenizer: PreTrainedTokenizerBase) -> str:
    return hashlib.sha256(str(tokenizer.chat_template).encode()).hexdigest()
