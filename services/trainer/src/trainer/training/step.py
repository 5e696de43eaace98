"""One optimizer step over packed rows, shared out over the devices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.distributed as dist

from trainer.data.packing import pack
from trainer.data.rendering import Row
from trainer.training.finite import check_finite, overflow_is_skipped
from trainer.training.merged_lora import merged_once
from trainer.training.reply_loss import make_pack, row_weight
from trainer.training.state import TrainingState


class Taken(NamedTuple):
    """`loss`: in nats, averaged over the weights of all the step's tokens. `gradient_norm`: before
    the gradient was clipped. All are the same on all devices.
    """

    loss: float
    learning_rate: float
    gradient_norm: float


def take_step(state: TrainingState, rows: Sequence[Row], rate_factor: float) -> Taken:
    """Move the weights by the gradient of `rows`, at `rate_factor` times the learning rate.

    Raises:
        TrainerError: loss or gradient is no number. The weights are as they were.
    """
    settings, step = state.run.recipe.training, state.step + 1
    for group, rate in zip(state.optimizer.param_groups, state.rates, strict=True):
        group["lr"] = rate * rate_factor
    _seed(settings.seed, step, state.world.rank)
    with merged_once(state.module, settings):
        loss = _backward(state, rows)
    norm = _clip(state)
    check_finite(f"the loss of step {step}", loss, state.run)
    if not overflow_is_skipped(state.scaler):
        check_finite(f"the gradient's norm in step {step}", norm, state.run)
    state.scaler.step(state.optimizer)
    state.scaler.update()
    state.optimizer.zero_grad(set_to_none=True)
    state.step = step
    return Taken(loss, settings.learning_rate * rate_factor, norm)


def _seed(seed: int, step: int, rank: int) -> None:
    """Dropout and noise of a step, different on every device."""
    torch.manual_seed((seed * 1_000_003 + step) * 1_009 + rank)


def _backward(state: TrainingState, rows: Sequence[Row]) -> float:
    """Leave this device's part of the gradient on the weights; the loss over all devices."""
    settings, world = state.run.recipe.training, state.world
    weight = sum(row_weight(row, settings.analysis_weight) for row in rows)
    sharded = settings.fsdp and world.size > 1
    packs = pack([len(row) for row in rows], settings.pack_tokens, world.size)
    losses = [torch.zeros((), device=world.device)]
    for places in packs[world.rank :: world.size]:
        # if the weights are sharded, every device must run as many packs as the others
        if not places and not sharded:
            continue
        one = make_pack([rows[i] for i in places or [0]], settings.analysis_weight, world.device)
        # FSDP averages gradients over the devices
        share = (world.size if sharded else 1) / weight if places else 0.0
        loss = state.module(one) * share
        state.scaler.scale(loss).backward()
        losses.append(loss.detach() / (world.size if sharded else 1))
    # read once, because the device would wait for the next pack at each reading
    return world.sum(float(torch.stack(losses).sum()))[0]


def _clip(state: TrainingState) -> float:
    """Sum the gradient over the devices and clip it. Returns its norm before that."""
    settings, world = state.run.recipe.training, state.world
    trained = [p for group in state.optimizer.param_groups for p in group["params"]]
    if world.size > 1 and not settings.fsdp:
        for parameter in trained:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            dist.all_reduce(parameter.grad)
    state.scaler.unscale_(state.optimizer)
    norm: Any = torch.nn.utils.clip_grad_norm_(trained, settings.max_grad_norm)
    norm = norm.full_tensor() if hasattr(norm, "full_tensor") else norm
    return float(norm)
