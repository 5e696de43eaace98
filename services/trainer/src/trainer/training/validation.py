"""Loss and label accuracy over the held-out rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from trainer.data.packing import pack
from trainer.data.rendering import Choice, Row
from trainer.recipe import Training
from trainer.training.distributed import World
from trainer.training.merged_lora import merged_once
from trainer.training.reply_loss import ReplyLoss, make_pack, row_weight


@torch.no_grad()
def validate(
    module: ReplyLoss,
    held_out: Sequence[Row],
    choices: Sequence[Choice],
    settings: Training,
    world: World,
) -> dict[str, float]:
    """`validation_loss`: nats a token over the replies of `held_out`. `label_accuracy`: the share
    of `choices` whose key is the likeliest label at its place in the reply.
    """
    module.eval()
    totals = [0.0, 0.0]
    asked: Sequence[Sequence[Row] | Sequence[Choice]] = (held_out, choices)
    with merged_once(module, settings):
        for kind, items in enumerate(asked):
            lengths = [len(item) for item in items]
            packs = pack(lengths, max(settings.pack_tokens, *lengths), world.size)
            for places in packs[world.rank :: world.size]:
                some: Any = [items[i] for i in places or [0]]
                value = module(
                    make_pack(some, settings.analysis_weight, world.device) if kind == 0 else some
                )
                totals[kind] += float(value) if places else 0.0
    module.train()
    loss, right = world.sum(*totals)
    weight = sum(row_weight(row, settings.analysis_weight) for row in held_out)
    return {"validation_loss": loss / weight, "label_accuracy": right / len(choices)}
