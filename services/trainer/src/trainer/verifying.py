"""Is what will be served what was trained? Asked of the saved files, before they are published.

Three looks: another process reads the settings back; the saved weights are compared with the
trained model on real prompts; and they write a few replies, greedily.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from transformers import AutoModelForCausalLM, PreTrainedTokenizerBase

from contract import PromptFormat, extract_label
from trainer.data import Example
from trainer.errors import TrainerError
from trainer.methods import DTYPES
from trainer.rendering import Row

log = logging.getLogger("trainer")

VERIFIED_ROWS = 32
COMPARED_TOKENS = 16  # of a reply; with a vocabulary of 152,000 they are 10 MB a row
GENERATED = 3


class Tolerance(NamedTuple):
    """How far rounding the merged weights may move next-token distributions.

    `nats`: mean absolute difference of log-probabilities, weighted by probability, over all tokens
    compared. `largest`: the same for the token where it is largest. `top1`: the least share of
    tokens whose likeliest successor is the same.
    """

    nats: float
    largest: float
    top1: float


TOLERANCE = {
    "float32": Tolerance(1e-3, 0.02, 0.995),
    "float16": Tolerance(0.02, 0.3, 0.98),
    "bfloat16": Tolerance(0.05, 1.0, 0.95),
}


@dataclass(frozen=True)
class Comparison:
    """Of trained and saved weights, over `tokens` tokens of `rows` replies."""

    rows: int
    tokens: int
    nats: float
    largest: float
    largest_in: str
    top1: float

    def faults(self, allowed: Tolerance) -> list[str]:
        said = []
        if not self.nats <= allowed.nats:
            said.append(f"{self.nats:.4f} nats apart on average, at most {allowed.nats} allowed")
        if not self.largest <= allowed.largest:
            said.append(
                f"{self.largest:.4f} nats apart in {self.largest_in}, at most {allowed.largest} "
                "allowed"
            )
        if not self.top1 >= allowed.top1:
            said.append(
                f"{self.top1:.2%} of tokens have the same likeliest successor, at least "
                f"{allowed.top1:.2%} required"
            )
        return said


def verified_rows(rows: Sequence[Any], held_out: Sequence[Any]) -> list[Any]:
    """At least 32 of the rows where there are as many, held-out ones first, evenly spread."""
    first = _spread(held_out, VERIFIED_ROWS)
    return first + _spread(rows, VERIFIED_ROWS - len(first))


def _spread(rows: Sequence[Any], count: int) -> list[Any]:
    if len(rows) <= count:
        return list(rows)
    return [rows[i * len(rows) // count] for i in range(count)]


@torch.inference_mode()
def reply_logprobs(model: Any, rows: Sequence[Row]) -> list[torch.Tensor]:
    """For each row, log-probabilities over the end of its reply.

    Returns:
        float32 tensors of shape (tokens, vocabulary), at most `COMPARED_TOKENS` tokens each.
    """
    result = []
    for row in rows:
        ids = torch.tensor([row.prompt + row.reply], device=model.device)
        count = min(len(row.reply), COMPARED_TOKENS)
        logits = model(input_ids=ids, use_cache=False).logits[0, -count - 1 : -1]
        result.append(logits.float().log_softmax(-1).cpu())
    return result


def compare(
    trained: Sequence[torch.Tensor], saved: Sequence[torch.Tensor], sources: Sequence[str]
) -> Comparison:
    """Both as `reply_logprobs` gives them; `sources` names their rows."""
    # weighted by the trained probability, so that tokens no one would draw do not drown the rest
    apart = [(t.exp() * (t - s).abs()).sum(-1) for t, s in zip(trained, saved, strict=True)]
    same = [t.argmax(-1) == s.argmax(-1) for t, s in zip(trained, saved, strict=True)]
    # NaN compares as the largest, so that broken weights cannot pass
    worst = max(range(len(apart)), key=lambda i: float(apart[i].max().nan_to_num(torch.inf)))
    return Comparison(
        rows=len(apart),
        tokens=sum(len(part) for part in apart),
        nats=float(torch.cat(apart).mean()),
        largest=float(apart[worst].max()),
        largest_in=sources[worst],
        top1=float(torch.cat(same).float().mean()),
    )


def verify(
    directory: Path,
    rows: Sequence[Row],
    examples: Sequence[Example],
    trained: Sequence[torch.Tensor],
    dtype: str,
    device: torch.device,
) -> tuple[Any, dict[str, Any]]:
    """The saved model, loaded as a server will, and how it compares: `comparison`, `tolerance`,
    `faults` (empty where it may be published).
    """
    # with transformers' own attention, as another program would load it
    model: Any = AutoModelForCausalLM.from_pretrained(directory, dtype=DTYPES[dtype]).to(device)
    model.eval()
    comparison = compare(trained, reply_logprobs(model, rows), [e.source for e in examples])
    log.info(
        "merged weights against the trained: %.2f %% of %d tokens have the same likeliest "
        "successor, %.4f nats apart, %.4f at most",
        100 * comparison.top1,
        comparison.tokens,
        comparison.nats,
        comparison.largest,
    )
    allowed = TOLERANCE[dtype]
    report = {
        "comparison": asdict(comparison),
        "tolerance": allowed._asdict(),
        "faults": comparison.faults(allowed),
    }
    return model, report


@torch.inference_mode()
def greedy_replies(
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    fmt: PromptFormat,
    rows: Sequence[Row],
    examples: Sequence[Example],
    max_tokens: int,
) -> list[dict[str, Any]]:
    """What the saved model replies to a few prompts: `source`, `messages`, `key`, `label`, `ended`,
    `text`. The server's first replies are compared with them.
    """
    replies = []
    for row, example in _spread(list(zip(rows, examples, strict=True)), GENERATED):
        ids = torch.tensor([row.prompt], device=model.device)
        mask = torch.ones_like(ids)
        out = model.generate(
            input_ids=ids, attention_mask=mask, do_sample=False, max_new_tokens=max_tokens
        )[0, len(row.prompt) :]
        text: Any = tokenizer.decode(out, skip_special_tokens=True)
        replies.append(
            {
                "source": example.source,
                "messages": fmt.messages(example.problem, example.question),
                "key": example.label,
                "label": extract_label(text, example.question.options, fmt.label_patterns),
                "ended": int(out[-1]) == row.reply[-1],
                "text": text,
            }
        )
    return replies


def differing(meant: dict[str, Any], found: dict[str, Any]) -> list[str]:
    """What another process reads otherwise than it was meant."""
    return [
        f"{name} is read back as {found[name]}, and was {value} in training"
        for name, value in meant.items()
        if found[name] != value
    ]


def refuse(faults: Sequence[str], report: Path) -> None:
    """Raises:
    TrainerError: there are faults.
    """
    if faults:
        raise TrainerError(
            "the saved model is not what was trained, and was not published:\n"
            + "\n".join(f"  {fault}" for fault in faults)
            + f"\nThe whole comparison is in {report}; checkpoint and adapter stay. Trainer and "
            "server must have the same transformers major; float16 may need a smaller lora.alpha."
        )
