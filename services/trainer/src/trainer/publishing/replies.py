"""Replies of the saved model, for the model card and to compare the server's first replies with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase, StoppingCriteria, StoppingCriteriaList

from contract import Contract, PromptFormat, coded, extract_label
from contract.published import RecordedReply
from trainer.data.examples import Example
from trainer.data.rendering import Row
from trainer.progress import Progress
from trainer.publishing.verdict import spread

GENERATED = 3


class _CountTokens(StoppingCriteria):  # type: ignore[misc]  # untyped in transformers
    """Never stops generation; transformers calls it once a token, so it counts them."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def __call__(self, ids: torch.Tensor, scores: Any, **_: Any) -> Any:
        self._progress.piece()
        return torch.zeros(len(ids), dtype=torch.bool, device=ids.device)


@torch.inference_mode()
def greedy_replies(
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    contract: Contract,
    rows: Sequence[Row],
    examples: Sequence[Example],
    progress: Progress,
) -> list[RecordedReply]:
    """The saved model's replies to a few prompts; the server's first ones are compared to them."""
    replies, fmt, limit = [], contract.format, contract.sampling.max_tokens
    chosen = spread(list(zip(rows, examples, strict=True)), GENERATED)
    with progress.part("writing replies, tokens", len(chosen) * limit):
        for row, example in chosen:
            ids = torch.tensor([row.prompt], device=model.device)
            out = model.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                do_sample=False,
                max_new_tokens=limit,
                stopping_criteria=StoppingCriteriaList([_CountTokens(progress)]),
            )[0, len(row.prompt) :]
            replies.append(_reply(out, row, example, fmt, tokenizer))
    return replies


def _reply(
    out: torch.Tensor,
    row: Row,
    example: Example,
    fmt: PromptFormat,
    tokenizer: PreTrainedTokenizerBase,
) -> RecordedReply:
    text: Any = tokenizer.decode(out, skip_special_tokens=True)
    return RecordedReply(
        source=example.source,
        source_message=coded(example.source),
        messages=tuple(fmt.messages(example.problem, example.question)),
        key=example.label,
        label=extract_label(text, example.question.options, fmt.label_patterns),
        ended=int(out[-1]) == row.reply[-1],
        text=text,
    )
