"""Examples as token ids: the contract's prompt in the tokenizer's chat template, then the reply and
its end token.

Only the reply and its end token have a loss. A row that is too long is left out, never cut.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any, NamedTuple

from transformers import PreTrainedTokenizerBase

from contract import LABELS, HeldLine, Lengths, Message, Probe, PromptFormat
from trainer.data.examples import Example
from trainer.errors import TrainerError

MAX_DROPPED_SHARE = 0.01


@dataclass(frozen=True)
class Row:
    """Token ids of a prompt (generation prompt included) and of the reply (end token included).

    From token `label_start` on, the reply is its answer line.
    """

    prompt: list[int]
    reply: list[int]
    label_start: int = 0

    def __len__(self) -> int:
        return len(self.prompt) + len(self.reply)


@dataclass(frozen=True)
class Choice:
    """A question and its reply up to the label. `ids`: their tokens. `label_ids`: the token of each
    label. `key`: the place of the right label among them.
    """

    ids: list[int]
    label_ids: list[int]
    key: int

    def __len__(self) -> int:
        return len(self.ids)


class Rendered(NamedTuple):
    """Rows, and at the same places the examples that they were made of; `too_long` has the sources
    of the examples that were too long.
    """

    rows: list[Row]
    examples: list[Example]
    too_long: list[str]


def prompt_ids(tokenizer: PreTrainedTokenizerBase, messages: list[Message]) -> list[int]:
    """The token ids that a server must make of `messages` before it generates."""
    ids: Any = tokenizer.apply_chat_template(
        messages, add_generation_prompt=True, tokenize=True, return_dict=False
    )
    return list(ids)


def end_token(tokenizer: PreTrainedTokenizerBase) -> int:
    """The token with which the chat template itself ends a reply (`<|im_end|>` in ChatML); not the
    pad token.

    Raises:
        TrainerError: the template ends a reply with no special token.
    """
    mark = "X"
    asked = [{"role": "user", "content": "?"}]
    text: Any = tokenizer.apply_chat_template(
        [*asked, {"role": "assistant", "content": mark}], tokenize=False
    )
    after = tokenizer(text[text.rindex(mark) + len(mark) :], add_special_tokens=False)["input_ids"]
    special = {int(i) for i, token in tokenizer.added_tokens_decoder.items() if token.special}
    if not after or after[0] not in special:
        raise TrainerError(
            "the chat template does not end replies with a special token, so a model would not "
            "learn to stop: use another base"
        )
    return int(after[0])


def render(
    examples: list[Example], fmt: PromptFormat, tokenizer: PreTrainedTokenizerBase, max_length: int
) -> Rendered:
    """`examples` as rows; rows of more than `max_length` tokens are left out.

    Raises:
        TrainerError: more than 1 % of the rows are longer than `max_length`.
    """
    end = end_token(tokenizer)
    rows, kept, too_long, longest = [], [], [], (0, "")
    for example in examples:
        prompt = prompt_ids(tokenizer, fmt.messages(example.problem, example.question))
        row = Row(prompt, *_reply_ids(example, fmt, tokenizer, end))
        longest = max(longest, (len(row), example.source))
        if len(row) > max_length:
            too_long.append(example.source)
        else:
            rows.append(row)
            kept.append(example)
    if len(too_long) > MAX_DROPPED_SHARE * len(examples):
        raise TrainerError(
            f"{len(too_long)} of {len(examples)} rows are longer than max_length = {max_length} "
            f"tokens; the longest has {longest[0]} ({longest[1]}). Set training.max_length = "
            f"{longest[0]} to keep them all."
        )
    return Rendered(rows, kept, too_long)


def _reply_ids(
    example: Example, fmt: PromptFormat, tokenizer: PreTrainedTokenizerBase, end: int
) -> tuple[list[int], int]:
    """The reply's tokens, its end token included, and the place where the answer line begins."""
    reply = fmt.reply(example.label, example.question.analysis)
    line_start = len(reply) - len(fmt.answer_line.replace("{label}", example.label))
    tokens = tokenizer(reply, add_special_tokens=False, return_offsets_mapping=True)
    before = sum(1 for _, stop in tokens["offset_mapping"] if stop <= line_start)
    return [*tokens["input_ids"], end], before


def choice(example: Example, fmt: PromptFormat, tokenizer: PreTrainedTokenizerBase) -> Choice:
    """`example` with its reply up to the label: the analysis, if it has one, and the beginning of
    the answer line.

    Raises:
        TrainerError: the labels do not differ in one token there.
    """
    labels = example.question.labels
    lead, label_ids = _first_difference(
        tokenizer, [fmt.reply(label, example.question.analysis) for label in _at_least_two(labels)]
    )
    prompt = prompt_ids(tokenizer, fmt.messages(example.problem, example.question))
    return Choice(prompt + lead, label_ids[: len(labels)], labels.index(example.label))


def held_line(fmt: PromptFormat, tokenizer: PreTrainedTokenizerBase) -> HeldLine:
    """The answer line in this tokenizer's tokens: the text before the label's token, and that
    token's text.

    Raises:
        TrainerError: the labels do not differ in one token there.
    """
    lines = [fmt.answer_line.replace("{label}", label) for label in LABELS]
    lead, _ = _first_difference(tokenizer, lines)
    places = tokenizer(lines[0], add_special_tokens=False, return_offsets_mapping=True)
    # a byte-level tokenizer may not count a token's leading space as part of the token
    start = places["offset_mapping"][len(lead) - 1][1] if lead else 0
    at = fmt.answer_line.index("{label}")
    end = max(places["offset_mapping"][len(lead)][1], at + 1)
    label = lines[0][start:at] + "{label}" + lines[0][at + 1 : end]
    return HeldLine(lead=lines[0][:start], label=label)


def _at_least_two(labels: str) -> str:
    return labels if len(labels) > 1 else LABELS[:2]


def _first_difference(
    tokenizer: PreTrainedTokenizerBase, lines: Sequence[str]
) -> tuple[list[int], list[int]]:
    """The tokens that all `lines` begin with, and then each line's own next token.

    The lines differ only in their label, so that next token holds the label; a tokenizer may have
    joined the label with the space or the bracket before it.
    """
    tokens: list[list[int]] = [
        tokenizer(line, add_special_tokens=False)["input_ids"] for line in lines
    ]
    columns = zip(*tokens, strict=False)
    common = [column[0] for column in takewhile(lambda column: len(set(column)) == 1, columns)]
    parting = [ids[len(common)] for ids in tokens if len(ids) > len(common)]
    if len(set(parting)) < len(lines):
        raise TrainerError(
            f"no token of this tokenizer distinguishes the labels in {lines[0][-20:]!r}: set "
            "another format.answer_line"
        )
    return common, parting


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
