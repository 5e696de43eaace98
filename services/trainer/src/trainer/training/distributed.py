"""Training in one process or several: their ranks, sums over all of them, and weights that may be
spread over their devices.

`torchrun` (or `accelerate launch`) sets RANK, LOCAL_RANK and WORLD_SIZE; without them there is one
process.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_model_state_dict,
    set_optimizer_state_dict,
)
from torch.distributed.fsdp import FSDPModule, MixedPrecisionPolicy, fully_shard

from trainer.settings import Settings


@dataclass(frozen=True)
class World:
    rank: int
    size: int
    device: torch.device

    @property
    def first(self) -> bool:
        """True in the one process that writes files and logs."""
        return self.rank == 0

    def sum(self, *values: float) -> list[float]:
        """Each value summed over all processes, the same everywhere."""
        if self.size == 1:
            return list(values)
        total = torch.tensor(values, dtype=torch.float64, device=self.device)
        dist.all_reduce(total)
        return [float(value) for value in total.tolist()]

    def wait(self) -> None:
        if self.size > 1:
            dist.barrier()


@contextmanager
def joined(settings: Settings) -> Iterator[World]:
    """Join the other processes, and leave them at the end: NCCL between GPUs, gloo between CPUs."""
    cuda = torch.cuda.is_available()
    device = torch.device(f"cuda:{settings.local_rank}" if cuda else "cpu")
    if cuda:
        torch.cuda.set_device(device)
    if settings.world_size == 1:
        yield World(0, 1, device)
        return
    dist.init_process_group("nccl" if cuda else "gloo")
    try:
        yield World(dist.get_rank(), dist.get_world_size(), device)
    finally:
        dist.destroy_process_group()


def shard(module: torch.nn.Module, layers: Any, dtype: torch.dtype) -> None:
    """Spread weights, gradients and optimizer state over all devices (FSDP, Zhao et al. 2023)."""
    policy = MixedPrecisionPolicy(param_dtype=dtype, reduce_dtype=torch.float32)
    for layer in layers:
        fully_shard(layer, mp_policy=policy)
    fully_shard(module, mp_policy=policy)


_WHOLE = StateDictOptions(full_state_dict=True, cpu_offload=True, ignore_frozen_params=True)
_FROM_FIRST = StateDictOptions(
    full_state_dict=True, broadcast_from_rank0=True, ignore_frozen_params=True, strict=False
)


def trained_weights(module: torch.nn.Module) -> dict[str, Any]:
    """The trained weights, whole and on the CPU; empty on all but the first process. All must
    call.
    """
    return get_model_state_dict(module, options=_WHOLE)


def optimizer_state(module: torch.nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    return get_optimizer_state_dict(module, optimizer, options=_WHOLE)


def restore_weights(module: torch.nn.Module, weights: dict[str, Any], world: World) -> None:
    if isinstance(module, FSDPModule):
        module.reshard()  # a validation leaves the outermost weights gathered
    set_model_state_dict(module, weights, options=_loading(world))


def restore_optimizer(
    module: torch.nn.Module, optimizer: torch.optim.Optimizer, state: dict[str, Any], world: World
) -> None:
    set_optimizer_state_dict(module, optimizer, state, options=_loading(world))


def _loading(world: World) -> StateDictOptions:
    return _FROM_FIRST if world.size > 1 else StateDictOptions(strict=False)
