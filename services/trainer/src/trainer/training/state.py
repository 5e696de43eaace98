"""All that the steps of a run change, and how a checkpoint holds it."""

from __future__ import annotations

import logging
from typing import Any

import torch
import torch.distributed as dist

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
from trainer.training.early_stopping import EarlyStopping
from trainer.training.methods import make_optimizer
from trainer.training.reply_loss import ReplyLoss, precision

log = logging.getLogger("trainer")


class TrainingState:
    """Weights, optimizer, float16's scaler, the number of the last step, and early stopping.

    `rates`: the learning rate of each of the optimizer's groups, before any schedule. All
    processes must call each method; the first one alone writes and reads files.
    """

    def __init__(self, model: Any, run: Run, world: World) -> None:
        """As `model` is, or as the last good checkpoint of `run` has it, if there is one."""
        settings = run.recipe.training
        self.module = ReplyLoss(model, precision(run.dtype, world.device), settings.neftune_alpha)
        if settings.fsdp and world.size > 1:
            shard(self.module, self.module.causal.base_model.layers, DTYPES[run.dtype])
        self.optimizer = make_optimizer(self.module, run.recipe)
        self.rates = [float(group["lr"]) for group in self.optimizer.param_groups]
        self.scaler = torch.amp.GradScaler(world.device.type, enabled=run.dtype == "float16")
        self.step = 0
        self.stopping = EarlyStopping(settings.patience)
        self.run, self.world = run, world
        self._resume()

    def save(self) -> None:
        stopping = self.stopping
        state = {
            "weights": trained_weights(self.module),
            "optimizer": optimizer_state(self.module, self.optimizer),
            "scaler": self.scaler.state_dict(),
            "progress": {
                "step": self.step,
                "best_loss": stopping.best_loss,
                "best_step": stopping.best_step,
                "worse": stopping.worse,
            },
        }
        if self.world.first:
            checkpoints.save_step(self.run.checkpoints, self.step, state)
        self.world.wait()

    def save_best(self) -> None:
        best = trained_weights(self.module)
        if self.world.first:
            checkpoints.save(self.run.checkpoints, checkpoints.BEST, {"weights": best})

    def take_best(self) -> None:
        """Go back to the weights that `save_best` kept, if later steps have changed them."""
        if self.stopping.best_step in (0, self.step):
            return
        best: dict[str, Any] | None = {"weights": {}}
        if self.world.first:
            best = checkpoints.load(self.run.checkpoints / checkpoints.BEST)
        (there,) = self.world.sum(best is not None)
        if there == self.world.size:
            restore_weights(self.module, best["weights"] if best else {}, self.world)
            log.info(
                "the weights of step %d are taken: they validated best", self.stopping.best_step
            )

    def _resume(self) -> None:
        found = checkpoints.load_last(self.run.checkpoints) if self.world.first else None
        (step,) = self.world.sum(found.step if found else 0)
        if not step:
            return
        state: dict[str, Any] = found.state if found else {}
        restore_weights(self.module, state.get("weights", {}), self.world)
        restore_optimizer(self.module, self.optimizer, state.get("optimizer", {}), self.world)
        box: list[Any] = [state.get("progress"), state.get("scaler")]
        if self.world.size > 1:
            dist.broadcast_object_list(box, src=0)
        progress, scaler = box
        self.scaler.load_state_dict(scaler)
        self.step = progress.pop("step")
        self.stopping = EarlyStopping(self.stopping.patience, **progress)
        log.info("continuing from the checkpoint of step %d", step)
