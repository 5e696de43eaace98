"""The decoder layers and the loss, compiled by torch.compile for packs of any length.

TorchInductor fuses what lies between two matrix products: norms, RoPE, activations, sums. Each
layer is compiled by itself, in place: so all layers share a few graphs, and weights keep their
names. Merged weights are made outside of the graphs, to the bit (`merged_lora`).

A graph is made at its first use. So a pack of no meaning is trained and validated before all rows:
if anything fails there, the run goes on without compiling.
"""

from __future__ import annotations

import logging
import time

import torch

from trainer.data.rendering import Row
from trainer.recipe import Training
from trainer.training.attention import has_flash
from trainer.training.merged_lora import merged_once
from trainer.training.methods import use_liger
from trainer.training.reply_loss import ReplyLoss, make_pack

log = logging.getLogger("trainer")

COMPILER = "inductor"
# Numbers of rows, tokens and predicted tokens that all differ, because a graph would take sizes
# that are equal here for equal in every pack.
TRIAL = (Row([0] * 5, [0] * 3), Row([0] * 5, [0] * 6))


def why_not_compiled(device: torch.device) -> str | None:
    """The reason why layers cannot be compiled for `device`; None if there is none."""
    return None if has_flash(device) else "that needs a GPU of compute capability 8.0 or more"


def compile_layers(module: ReplyLoss, settings: Training, device: torch.device) -> bool:
    """Compile the layers and the loss of `module` in place, and try them; gradients are empty then.

    Returns:
        False if that is not possible here, and the log says why. The layers are then as they were,
        but on a GPU they get Liger's kernels.
    """
    started = time.monotonic()
    why = why_not_compiled(device) or _failure(module, settings, device)
    if why is None:
        log.info("the layers are compiled (%.0f s)", time.monotonic() - started)
        return True
    log.warning("training goes on without compiling its layers: %s", why)
    leave_uncompiled(module)
    if device.type == "cuda":
        use_liger(module.model)
    return False


def _failure(module: ReplyLoss, settings: Training, device: torch.device) -> str | None:
    """Compile and try; what went wrong, if anything did."""
    # A float that might change becomes a kernel in C++ of its own; for LoRA's scale, that ended in
    # a segmentation fault (torch 2.10.0).
    torch._dynamo.config.specialize_float = True
    try:
        for layer in module.causal.base_model.layers:
            layer.compile(dynamic=True, backend=COMPILER)
        module.chunk_loss = torch.compile(ReplyLoss._chunk_loss, dynamic=True, backend=COMPILER)
        with merged_once(module, settings):
            pack = make_pack(TRIAL, 1.0, device)
            module(pack).backward()
            with torch.no_grad():  # as in a validation, for which there are graphs of their own
                module.eval()(pack)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # noqa: BLE001 # if the fault is not the compiler's, it comes again
        return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
    finally:
        module.train().zero_grad(set_to_none=True)
    return None


def leave_uncompiled(module: ReplyLoss) -> None:
    """Take back what `compile_layers` did, if it did anything."""
    for layer in getattr(module.causal.base_model, "layers", ()):
        layer._compiled_call_impl = None
    module.chunk_loss = ReplyLoss._chunk_loss
    torch._dynamo.reset()
