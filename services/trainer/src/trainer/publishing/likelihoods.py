"""Reads rows with a model: log-probabilities at the end of each reply, and the reply's loss.

The model computes in its own dtype, or in float32 a layer at a time. So a card without room for the
whole model in float32 can still compute in it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any, NamedTuple

import torch

from trainer.data.rendering import Row
from trainer.progress import Progress
from trainer.training.reply_loss import row_weight

COMPARED_TOKENS = 16  # of a reply; with a vocabulary of 152,000 they are 10 MB a row


class Reading(NamedTuple):
    """`logprobs`: float32, shape (tokens, vocabulary), on the CPU, for up to `COMPARED_TOKENS` last
    tokens of the reply. `loss`: of the whole reply, the sum of nats weighted as in training.
    `weight`: the sum of those weights.
    """

    logprobs: torch.Tensor
    loss: float
    weight: float


@torch.no_grad()
def read(
    model: Any, rows: Sequence[Row], analysis_weight: float, progress: Progress
) -> list[Reading]:
    """`model`'s reading of each row, one row at a time; each counts as a piece of progress."""
    readings = []
    for row in rows:
        ids = torch.tensor([row.prompt + row.reply], device=model.device)
        kept = len(row.reply) + 1
        logits = model(input_ids=ids, use_cache=False, logits_to_keep=kept).logits[0, -kept:-1]
        logprobs = logits.float().log_softmax(-1)
        losses = -logprobs.gather(-1, ids[0, -len(row.reply) :, None])[:, 0]
        analysis = losses[: row.label_start].sum() * analysis_weight
        readings.append(
            Reading(
                logprobs[-COMPARED_TOKENS:].cpu(),
                float(analysis + losses[row.label_start :].sum()),
                row_weight(row, analysis_weight),
            )
        )
        progress.piece()
    return readings


@contextmanager
def in_float32(model: Any) -> Iterator[None]:
    """Inside, `model` computes as a float32 copy of it would. Each layer's weights are widened when
    the layer is called and put back after, so this takes the memory of one layer.
    """
    held: dict[int, torch.Tensor] = {}  # by identity: embeddings and head may share their weights

    def widen(module: torch.nn.Module, _: Any) -> None:
        for tensor in _floats(module):
            held[id(tensor)] = tensor.data
            tensor.data = tensor.data.float()

    def put_back(module: torch.nn.Module, _: Any, __: Any) -> None:
        for tensor in _floats(module):
            tensor.data = held.pop(id(tensor))

    hooks = []
    for unit in _units(model):
        hooks += [unit.register_forward_pre_hook(widen), unit.register_forward_hook(put_back)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _units(module: torch.nn.Module) -> Iterator[torch.nn.Module]:
    """Each layer (a member of a list) as a whole; outside them, each module that holds weights."""
    if (
        next(chain(module.parameters(recurse=False), module.buffers(recurse=False)), None)
        is not None
    ):
        yield module
        return
    for child in module.children():
        if isinstance(module, torch.nn.ModuleList):
            yield child
        else:
            yield from _units(child)


def _floats(module: torch.nn.Module) -> Iterator[torch.Tensor]:
    return (t for t in chain(module.parameters(), module.buffers()) if t.is_floating_point())
