"""How many held-out questions a saved model answers right, by its greedy replies."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from transformers import PreTrainedTokenizerBase

from contract import Contract, extract_label
from trainer.data.examples import Example
from trainer.data.rendering import end_token, prompt_ids
from trainer.progress import Progress
from trainer.publishing.verdict import spread

log = logging.getLogger("trainer")

# Questions, evenly spread. The standard error of their accuracy is at most 2.2 points.
MEASURED = 512
AT_ONCE = 32


class Answered(NamedTuple):
    """How many of `total` questions were answered right."""

    right: int
    total: int


@torch.inference_mode()
def greedy_accuracy(
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    contract: Contract,
    examples: Sequence[Example],
    progress: Progress,
) -> Answered:
    """Ask the model up to `MEASURED` of `examples`. Which ones depends on the examples alone, so
    models that are given the same examples are measured by the same questions. A reply without a
    label is wrong.
    """
    asked = spread(examples, MEASURED)
    fmt = contract.format
    prompts = [prompt_ids(tokenizer, fmt.messages(e.problem, e.question)) for e in asked]
    # by length, so that little is padded
    order = sorted(range(len(asked)), key=lambda i: len(prompts[i]))
    right, at_once = 0, AT_ONCE
    with progress.part("answering held-out questions", len(asked)):
        while order:
            places = order[:at_once]
            try:
                texts = replies_to(model, tokenizer, [prompts[i] for i in places], contract)
            except torch.OutOfMemoryError:
                if at_once == 1:
                    raise
                at_once //= 2
                torch.cuda.empty_cache()
                continue
            del order[: len(places)]
            for i, text in zip(places, texts, strict=True):
                label = extract_label(text, asked[i].question.options, fmt.label_patterns)
                right += label == asked[i].label
                progress.piece()
    log.info("%d of %d held-out questions are answered right", right, len(asked))
    return Answered(right, len(asked))


def replies_to(
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    prompts: Sequence[list[int]],
    contract: Contract,
) -> list[str]:
    """The greedy replies to `prompts`, which are padded on the left."""
    longest, end = max(map(len, prompts)), end_token(tokenizer)
    pads = [longest - len(prompt) for prompt in prompts]
    ids = torch.tensor([[end] * pad + prompt for pad, prompt in zip(pads, prompts, strict=True)])
    mask = torch.tensor([[0] * pad + [1] * (longest - pad) for pad in pads])
    out = model.generate(
        input_ids=ids.to(model.device),
        attention_mask=mask.to(model.device),
        do_sample=False,
        max_new_tokens=contract.sampling.max_tokens,
        pad_token_id=end,
    )
    texts: list[str] = tokenizer.batch_decode(out[:, longest:], skip_special_tokens=True)
    return texts
