"""The training loop: from a prepared model and rows to trained weights, through any kills.

What a step does is a function of the recipe and the step's number: its rows, their packs, the
learning rate, and the random numbers of dropout and noise. So a run that is resumed from a
checkpoint takes the same steps as one that was left alone, and a run on four devices the same as on
one.
"""

from __future__ import annotations

import logging
import math
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from trainer.data.packing import Order, pack, steps_of
from trainer.data.rendering import Choice, Row
from trainer.errors import StoppedError
from trainer.recipe import Recipe
from trainer.run import Run
from trainer.training import checkpoints
from trainer.training.base_model import DTYPES
from trainer.training.distributed import (
    World,
    optimizer_state,
    restore_optimizer,
    restore_weights,
    shard,
    trained_weights,
)
from trainer.training.finite import check_finite, overflow_is_skipped
from trainer.training.memory import explained
from trainer.training.methods import make_optimizer
from trainer.training.metrics import Metrics
from trainer.training.reply_loss import ReplyLoss, make_pack, precision, row_weight
from trainer.training.schedules import learning_rate_factor

log = logging.getLogger("trainer")


@dataclass(frozen=True)
class TrainingData:
    """Rows, how often each is drawn an epoch, and what is held out; `held_out` may be empty."""

    rows: Sequence[Row]
    weights: Sequence[float]
    held_out: Sequence[Row]
    choices: Sequence[Choice]


@dataclass
class _Progress:
    """What a checkpoint holds besides tensors."""

    step: int = 0
    best_loss: float = math.inf
    best_step: int = 0
    worse: int = 0


def train(
    model: Any,
    data: TrainingData,
    run: Run,
    world: World,
    *,
    tensorboard: bool = False,
) -> ReplyLoss:
    """Train `model` in place, from the last good checkpoint of `run` where there is one.

    Raises:
        StoppedError: SIGTERM or SIGINT came; a checkpoint was saved.
        TrainerError: no memory, no room for a checkpoint, or a loss that is no number.
    """
    recipe, dtype, folder = run.recipe, run.dtype, run.checkpoints
    settings = recipe.training
    module = ReplyLoss(model, precision(dtype, world.device), settings.neftune_alpha)
    if settings.fsdp and world.size > 1:
        shard(module, module.causal.base_model.layers, DTYPES[dtype])
    optimizer = make_optimizer(module, recipe)
    rates = [float(group["lr"]) for group in optimizer.param_groups]
    scaler = torch.amp.GradScaler(world.device.type, enabled=dtype == "float16")
    progress = _resume(module, optimizer, scaler, folder, world)

    order = Order(data.weights, settings.seed)
    steps = steps_of(order.rows_an_epoch, settings.batch_rows, settings.epochs, settings.max_steps)
    last_row = round(order.rows_an_epoch * settings.epochs)
    validated_at = {
        math.ceil(steps * part / settings.validations) for part in range(settings.validations + 1)
    }
    metrics = (
        Metrics(run.folder, progress.step, steps, world.device, tensorboard)
        if world.first
        else None
    )

    def checkpoint() -> None:
        state = {
            "weights": trained_weights(module),
            "optimizer": optimizer_state(module, optimizer),
            "scaler": scaler.state_dict(),
            "progress": vars(progress),
        }
        if world.first:
            checkpoints.save_step(folder, progress.step, state)
        world.wait()

    def validation() -> dict[str, float]:
        """Validate where there is something to; keeps the best weights where they will be asked
        for.
        """
        if not data.held_out:
            return {}
        scores = validate(module, data, recipe, world)
        loss = scores["validation_loss"]
        check_finite(f"the validation loss after step {progress.step}", loss, run)
        if progress.step and settings.patience:
            progress.worse = 0 if loss < progress.best_loss else progress.worse + 1
            if loss < progress.best_loss:
                progress.best_loss, progress.best_step = loss, progress.step
                best = trained_weights(module)
                if world.first:
                    checkpoints.save(folder, checkpoints.BEST, {"weights": best})
        return scores

    with _stop_requests() as stop, explained(recipe, world.device):
        if progress.step == 0:
            started = time.monotonic()
            scores = validation()
            if metrics and scores:
                metrics.step(
                    0, tokens=0, replies=0, validating_s=time.monotonic() - started, **scores
                )
        saved = time.monotonic()
        while progress.step < steps:
            step = progress.step + 1
            start = (step - 1) * settings.batch_rows
            stop_at = start + settings.batch_rows
            if settings.max_steps is None:
                stop_at = min(stop_at, max(last_row, start + 1))
            rows = [data.rows[i] for i in order.rows(start, stop_at)]
            factor = learning_rate_factor(step, steps, settings)
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["lr"] = rate * factor
            _seed(settings.seed, step, world.rank)
            loss, norm = _backward(module, optimizer, scaler, rows, recipe, world)
            check_finite(f"the loss of step {step}", loss, run)
            if not overflow_is_skipped(scaler):
                check_finite(f"the gradient's norm in step {step}", norm, run)
            scaler.step(optimizer)
            scaler.update()
            optimizer.zero_grad(set_to_none=True)
            progress.step = step

            validating = time.monotonic()
            scores = validation() if step in validated_at else {}
            if metrics:
                metrics.step(
                    step,
                    tokens=sum(len(row) for row in rows),
                    replies=sum(len(row.reply) for row in rows),
                    validating_s=time.monotonic() - validating,
                    epoch=round(stop_at / order.rows_an_epoch, 4),
                    loss=loss,
                    learning_rate=settings.learning_rate * factor,
                    gradient_norm=norm,
                    **scores,
                )
            due = time.monotonic() - saved >= settings.checkpoint_every_s
            asked, due_somewhere = world.sum(stop.asked, due)
            if asked or due_somewhere or step == steps:
                checkpoint()
                saved = time.monotonic()
            if asked and step < steps:
                raise StoppedError(
                    f"stopped after step {step} of {steps}; a checkpoint is in {folder}, and the "
                    "same command goes on from it"
                )
            if settings.patience and progress.worse >= settings.patience:
                log.info("no better validation loss in %d validations: stopping", progress.worse)
                break
        if metrics:
            metrics.close()
        _take_best(module, folder, progress, world)
    module.eval()
    return module


def _backward(
    module: ReplyLoss,
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
    rows: Sequence[Row],
    recipe: Recipe,
    world: World,
) -> tuple[float, float]:
    """The clipped gradient of one step's `rows`, shared out over the devices.

    Returns:
        The loss in nats, averaged over the weights of all of the step's tokens, and the norm of the
        gradient before it was clipped; the same on all devices.
    """
    settings = recipe.training
    weight = sum(row_weight(row, settings.analysis_weight) for row in rows)
    sharded = settings.fsdp and world.size > 1
    packs = pack([len(row) for row in rows], settings.pack_tokens, world.size)
    total = 0.0
    for places in packs[world.rank :: world.size]:
        # every device must run as many packs as the others where their weights are shared out
        if not places and not sharded:
            continue
        one = make_pack([rows[i] for i in places or [0]], settings.analysis_weight, world.device)
        # FSDP averages gradients over the devices
        share = (world.size if sharded else 1) / weight if places else 0.0
        loss = module(one) * share
        scaler.scale(loss).backward()
        total += float(loss.detach()) / (world.size if sharded else 1)
    trained = [p for group in optimizer.param_groups for p in group["params"]]
    if world.size > 1 and not sharded:
        for parameter in trained:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            dist.all_reduce(parameter.grad)
    scaler.unscale_(optimizer)
    norm: Any = torch.nn.utils.clip_grad_norm_(trained, settings.max_grad_norm)
    norm = norm.full_tensor() if hasattr(norm, "full_tensor") else norm
    return world.sum(total)[0], float(norm)


@torch.no_grad()
def validate(
    module: ReplyLoss, data: TrainingData, recipe: Recipe, world: World
) -> dict[str, float]:
    """`validation_loss` in nats a token over the held-out replies, and `label_accuracy`: the share
    of held-out questions whose key is the likeliest of their labels where the reply names it.
    """
    settings = recipe.training
    module.eval()
    totals = [0.0, 0.0]
    asked: Sequence[Sequence[Row] | Sequence[Choice]] = (data.held_out, data.choices)
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
    weight = sum(row_weight(row, settings.analysis_weight) for row in data.held_out)
    return {"validation_loss": loss / weight, "label_accuracy": right / len(data.choices)}


def _resume(
    module: ReplyLoss,
    optimizer: torch.optim.Optimizer,
    scaler: torch.amp.GradScaler,
    folder: Path,
    world: World,
) -> _Progress:
    found = checkpoints.load_last(folder) if world.first else None
    (step,) = world.sum(found.step if found else 0)
    if not step:
        return _Progress()
    state: dict[str, Any] = found.state if found else {}
    restore_weights(module, state.get("weights", {}), world)
    restore_optimizer(module, optimizer, state.get("optimizer", {}), world)
    box: list[Any] = [state.get("progress"), state.get("scaler")]
    if world.size > 1:
        dist.broadcast_object_list(box, src=0)
    scaler.load_state_dict(box[1])
    log.info("going on from the checkpoint of step %d", step)
    return _Progress(**box[0])


def _take_best(module: ReplyLoss, folder: Path, progress: _Progress, world: World) -> None:
    if not progress.best_step or progress.best_step == progress.step:
        return
    best = checkpoints.load(folder / checkpoints.BEST) if world.first else {"weights": {}}
    (there,) = world.sum(best is not None)
    if there == world.size:
        restore_weights(module, best["weights"] if best else {}, world)
        log.info("taking the weights of step %d, the best validated", progress.best_step)


def _seed(seed: int, step: int, rank: int) -> None:
    """Dropout and noise of a step, different on every device."""
    torch.manual_seed((seed * 1_000_003 + step) * 1_009 + rank)


class _Stop:
    asked = False


@contextmanager
def _stop_requests() -> Iterator[_Stop]:
    """SIGTERM and SIGINT ask for an end after the step that is under way."""
    stop = _Stop()

    def ask(*_: Any) -> None:
        stop.asked = True

    before = {number: signal.signal(number, ask) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
