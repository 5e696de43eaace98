"""Explains running out of memory: how much there was, how much a pack needed, what would fit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psutil
import torch

from trainer.errors import TrainerError
from trainer.recipe import Recipe
from trainer.training.metrics import peak_memory_gib

MARGIN = 0.9  # the share of a device's memory that a suggestion counts on


@contextmanager
def memory_explained(recipe: Recipe, device: torch.device) -> Iterator[None]:
    """If memory runs out inside, raise a TrainerError that says which settings would fit."""
    before = _held_gib(device)
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise _advice(recipe, device, before, error) from error
    except RuntimeError as error:
        if "can't allocate memory" not in str(error):  # PyTorch's CPU allocator
            raise
        raise _advice(recipe, device, before, error) from error


def _advice(
    recipe: Recipe, device: torch.device, before: float, error: BaseException
) -> TrainerError:
    training = recipe.training
    total, peak = _total_gib(device), peak_memory_gib(device)
    smaller = fitting_pack(training.pack_tokens, training.max_length, before, peak, total)
    steps = []
    if not training.gradient_checkpointing:
        steps.append("training.gradient_checkpointing = true")
    if smaller < training.pack_tokens:
        steps.append(f"training.pack_tokens = {smaller}")
    elif training.pack_tokens > training.max_length:
        steps.append(f"training.pack_tokens = {training.max_length}, the longest row")
    if recipe.method == "full":
        steps.append('method = "lora"')
    elif recipe.lora.quantize == "none" and device.type == "cuda":
        steps.append('lora.quantize = "nf4", which holds the base in a quarter of its memory')
    if not steps:
        steps.append("a smaller base, or a device with more memory")
    return TrainerError(
        f"out of memory: {device} has {total:.1f} GiB; model and optimizer held {before:.1f} GiB "
        f"before the first pack, and more than {peak:.1f} GiB with a pack of up to "
        f"{training.pack_tokens} tokens. Try, in this order: {'; '.join(steps)}. The last "
        f"checkpoint is kept, and the run continues from it. ({str(error).splitlines()[0]})"
    )


def fitting_pack(pack_tokens: int, longest: int, before: float, peak: float, total: float) -> int:
    """The largest number of tokens in a pack whose memory, on top of `before`, fits into `total`
    (all in GiB); at least the `longest` row. A pack's memory grows with its tokens.
    """
    needed = max(peak, total) - before
    share = max(0.0, MARGIN * total - before) / needed if needed > 0 else 0.5
    return max(longest, int(min(share, 0.5) * pack_tokens))


def _held_gib(device: torch.device) -> float:
    if device.type == "cuda":
        return torch.cuda.memory_allocated(device) / 2**30
    return float(psutil.Process().memory_info().rss) / 2**30


def _total_gib(device: torch.device) -> float:
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory / 2**30
    return float(psutil.virtual_memory().total) / 2**30
