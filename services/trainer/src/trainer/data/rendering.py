"""Examples as token ids: the contract's prompt in the tokenizer's chat template, then the reply and
its end token.

Loss falls on the reply and its end token alone. A row that is too long is never cut.
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
    """A question, and its reply up to the label: token ids, each label's token, and the place of
    the key among the labels.
    """

    ids: list[int]
    label_ids: list[int]
    key: int

    def __len__(self) -> int:
        return len(self.ids)


class Rendered(NamedTuple):
    """Rows and the examples they are of, in step; `too_long` names the sources of what was dropped
    for its length.
    """

    rows: list[Row]
    examples: list[Example]
    too_long: list[str]


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
        TrainerError: a reply ends with no special token in it.
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
            "the chat template ends no reply with a special token; a model could not learn to stop"
        )
    return int(after[0])


def render(
    examples: list[Example], fmt: PromptFormat, tokenizer: PreTrainedTokenizerBase, max_length: int
) -> Rendered:
    """`examples` as rows, without those that are longer than `max_length` tokens.

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
    """The reply's tokens with its end, and where among them the answer line begins."""
    reply = fmt.reply(example.label, example.question.analysis)
    line_start = len(reply) - len(fmt.answer_line.replace("{label}", example.label))
    tokens = tokenizer(reply, add_special_tokens=False, return_offsets_mapping=True)
    before = sum(1 for _, stop in tokens["offset_mapping"] if stop <= line_start)
    return [*tokens["input_ids"], end], before


def choice(example: Example, fmt: PromptFormat, tokenizer: PreTrainedTokenizerBase) -> Choice:
    """`example` with its reply written up to the label: worked steps, where it has some, and the
    answer line begun.

    Raises:
        TrainerError: no single token tells the labels apart there.
    """
    labels = example.question.labels
    lead, label_ids = _parting(
        tokenizer, [fmt.reply(label, example.question.analysis) for label in _at_least_two(labels)]
    )
    prompt = prompt_ids(tokenizer, fmt.messages(example.problem, example.question))
    return Choice(prompt + lead, label_ids[: len(labels)], labels.index(example.label))


def held_line(fmt: PromptFormat, tokenizer: PreTrainedTokenizerBase) -> HeldLine:
    """The answer line in this tokenizer's own tokens: what stands before the label's token, and
    that token's text.

    Raises:
        TrainerError: no single token tells the labels apart there.
    """
    lines = [fmt.answer_line.replace("{label}", label) for label in LABELS]
    lead, _ = _parting(tokenizer, lines)
    places = tokenizer(lines[0], add_special_tokens=False, return_offsets_mapping=True)
    # a byte-level tokenizer may not count the space that begins a token as the token's own
    start = places["offset_mapping"][len(lead) - 1][1] if lead else 0
    at = fmt.answer_line.index("{label}")
    end = max(places["offset_mapping"][len(lead)][1], at + 1)
    label = lines[0][start:at] + "{label}" + lines[0][at + 1 : end]
    return HeldLine(lead=lines[0][:start], label=label)


def _at_least_two(labels: str) -> str:
    return labels if len(labels) > 1 else LABELS[:2]


def _parting(
    tokenizer: PreTrainedTokenizerBase, lines: Sequence[str]
) -> tuple[list[int], list[int]]:
    """The tokens that `lines` have in common, and the token with which each goes on by itself.

    The lines differ in their label alone, so there the label's own tokens begin: a tokenizer may
    join it with the space or the bracket before it.
    """
    tokens: list[list[int]] = [
        tokenizer(line, add_special_tokens=False)["input_ids"] for line in lines
    ]
    columns = zip(*tokens, strict=False)
    common = [column[0] for column in takewhile(lambda column: len(set(column)) == 1, columns)]
    parting = [ids[len(common)] for ids in tokens if len(ids) > len(common)]
    if len(set(parting)) < len(lines):
        raise TrainerError(
            f"this tokenizer has no token that tells the labels apart in {lines[0][-20:]!r}: set "
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
