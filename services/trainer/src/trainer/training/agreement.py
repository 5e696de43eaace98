"""Does the trainer compute what the base's own code computes?

The trainer has its own attention for packed rows, and computes logits for replies alone. A family
may do more there: sinks in its attention, a scale on its logits. The trainer would leave that out,
and the server would not. So one row is read both ways before training.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch.nn.functional import cross_entropy

from trainer.data.rendering import Row
from trainer.errors import TrainerError
from trainer.training.base_model import own_attention
from trainer.training.reply_loss import ReplyLoss, make_pack, precision

# nats a token of the reply; rounding to bfloat16 makes less of a difference
MOST_NATS = 0.05
MOST_SHARE = 0.05


@torch.no_grad()
def check_agreement(model: Any, row: Row, dtype: str, device: torch.device) -> None:
    """Raises TrainerError if the trainer's loss of `row` is not the base's own.

    A base whose own loss is not a number is left to the checks of the run.
    """
    module = ReplyLoss(model, precision(dtype, device)).eval()
    ours = float(module(make_pack([row], 1.0, device))) / len(row.reply)
    own = _own_loss(module, row, dtype, device)
    model.train()
    if not math.isfinite(own) or abs(ours - own) <= max(MOST_NATS, MOST_SHARE * own):
        return
    raise TrainerError(
        f"the trainer cannot compute as this base does: the first row's reply has a loss of "
        f"{own:.3f} nats a token by the base's own code, and {ours:.3f} by the trainer's. Use a "
        "base of another family: Qwen2, Qwen3, Llama, Mistral, Gemma 2 and Gemma 3 are tested"
    )


def _own_loss(module: ReplyLoss, row: Row, dtype: str, device: torch.device) -> float:
    causal, count = module.causal, len(row.reply)
    ids = torch.tensor([row.prompt + row.reply], device=device)
    ours = causal.config._attn_implementation
    causal.config._attn_implementation = own_attention(causal.config)
    try:
        with precision(dtype, device):
            out = causal(input_ids=ids, use_cache=False, logits_to_keep=count + 1)
    finally:
        causal.config._attn_implementation = ours
    return float(cross_entropy(out.logits[0, -count - 1 : -1].float(), ids[0, -count:]))
