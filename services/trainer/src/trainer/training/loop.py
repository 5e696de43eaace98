"""The training loop: from a prepared model and rows to trained weights, however often it is killed.

A step depends only on the recipe and the step's number: its rows, their packs, the learning rate,
and the random numbers of dropout and noise. So a run that resumes from a checkpoint takes the same
steps as one that nothing stopped, and a run on four devices takes the same steps as a run on one.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from trainer.data.rendering import Choice, Row
from trainer.errors import StoppedError
from trainer.run import Run
from trainer.training.compiling import compile_layers, leave_uncompiled
from trainer.training.distributed import World
from trainer.training.finite import check_finite
from trainer.training.memory import memory_explained
from trainer.training.metrics import Metrics
from trainer.training.plan import Plan
from trainer.training.reply_loss import ReplyLoss
from trainer.training.state import TrainingState
from trainer.training.step import take_step
from trainer.training.stop_requests import stop_requests
from trainer.training.validation import validate

log = logging.getLogger("trainer")


@dataclass(frozen=True)
class TrainingData:
    """`weights`: how often each row is drawn an epoch. `choices`: the held-out questions, to be
    asked for their labels. `held_out` and `choices` may both be empty.
    """

    rows: Sequence[Row]
    weights: Sequence[float]
    held_out: Sequence[Row]
    choices: Sequence[Choice]


def train(
    model: Any, data: TrainingData, run: Run, world: World, *, tensorboard: bool = False
) -> ReplyLoss:
    """Train `model` in place, from the last good checkpoint of `run` if there is one.

    Raises:
        StoppedError: SIGTERM or SIGINT came; a checkpoint was saved.
        TrainerError: no memory, no room for a checkpoint, or a loss that is no number.
    """
    state = TrainingState(model, run, world)
    plan = Plan(data.weights, run.recipe.training)
    metrics = None
    if world.first:
        metrics = Metrics(run.folder, state.step, plan.steps, world.device, tensorboard, run.part)
    with stop_requests() as stop, memory_explained(run.recipe, world.device):
        if run.recipe.training.compile:
            compile_layers(state.module, run.recipe.training, world.device)
        if state.step == 0:
            scores, validating_s = _scores(state, data)
            if metrics and scores:
                metrics.step(0, tokens=0, replies=0, validating_s=validating_s, **scores)
        saved = time.monotonic()
        while state.step < plan.steps and not state.stopping.is_due:
            rows = [data.rows[i] for i in plan.rows(state.step + 1)]
            taken = take_step(state, rows, plan.rate_factor(state.step + 1))
            scores, validating_s = {}, 0.0
            if plan.is_validated(state.step):
                scores, validating_s = _scores(state, data)
            if metrics:
                values = {"epoch": plan.epoch(state.step), **taken._asdict(), **scores}
                _write(metrics, state.step, rows, validating_s, values)
            due = time.monotonic() - saved >= run.recipe.training.checkpoint_every_s
            asked, due_somewhere = world.sum(stop.asked, due)
            if asked or due_somewhere or state.step == plan.steps:
                state.save()
                saved = time.monotonic()
            if asked and state.step < plan.steps:
                raise StoppedError(
                    f"stopped after step {state.step} of {plan.steps}; a checkpoint is in "
                    f"{run.checkpoints}, and the same command continues from it"
                )
            if state.stopping.is_due:
                worse = state.stopping.worse
                log.info("%d validations brought no better loss: training stops", worse)
        if metrics:
            metrics.close()
        state.take_best()
    leave_uncompiled(state.module)
    state.module.eval()
    return state.module


def _scores(state: TrainingState, data: TrainingData) -> tuple[dict[str, float], float]:
    """The scores of the weights, and the seconds that validation took; no scores if no row is held
    out. If early stopping is on, it takes note of the loss, and the best weights are saved.
    """
    if not data.held_out:
        return {}, 0.0
    started = time.monotonic()
    settings = state.run.recipe.training
    scores = validate(state.module, data.held_out, data.choices, settings, state.world)
    loss = scores["validation_loss"]
    check_finite(f"the validation loss after step {state.step}", loss, state.run)
    if state.stopping.is_best(state.step, loss):
        state.save_best()
    return scores, time.monotonic() - started


def _write(
    metrics: Metrics,
    step: int,
    rows: Sequence[Row],
    validating_s: float,
    values: dict[str, float],
) -> None:
    metrics.step(
        step,
        tokens=sum(len(row) for row in rows),
        replies=sum(len(row.reply) for row in rows),
        validating_s=validating_s,
        **values,
    )
