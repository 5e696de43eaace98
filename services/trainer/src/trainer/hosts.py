"""Checks that a run computes on the GPU, or on the CPU if that is meant."""

from __future__ import annotations

import logging

from contract import Stack, stack_fault
from trainer.errors import TrainerError

log = logging.getLogger("trainer")

Cards = list[tuple[str, tuple[int, int]]]


def check_device(stack: Stack | None) -> None:
    """Before anything is downloaded, check that the stack's GPU is there and PyTorch can use it.

    If no stack is set (no image, no setting), a host without NVIDIA cards trains on its CPU, with a
    warning; a host with cards must use them.

    Raises:
        TrainerError: its one line says what is missing, and what to do.
    """
    if stack == "cpu":
        return
    import torch  # takes seconds, and the cpu stack does not need it

    driver, cards = _nvidia()
    if torch.cuda.is_available():
        cards = cards or [
            (torch.cuda.get_device_name(i), torch.cuda.get_device_capability(i))
            for i in range(torch.cuda.device_count())
        ]
        # CUDA has started, so the driver is new enough
        fault = stack_fault(stack, driver, cards) if stack and driver else None
    elif stack is None and not cards:
        log.warning("no GPU is visible here: the CPU trains (set STACK=cpu if that is intended)")
        return
    else:
        fault = (stack_fault(stack, driver, cards) if stack else None) or (
            f"PyTorch {torch.__version__} cannot use the card {cards[0][0]} with driver {driver}: "
            "install a PyTorch for that driver, or set STACK=cpu to train on the CPU"
        )
    if fault:
        raise TrainerError(fault)


def _nvidia() -> tuple[str | None, Cards]:
    """The driver's version, and its cards' names and compute capabilities."""
    try:
        import pynvml
    except ImportError:  # the cpu stack does not bring it
        return None, []
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:  # no driver
        return None, []
    try:
        handles = [pynvml.nvmlDeviceGetHandleByIndex(i) for i in range(pynvml.nvmlDeviceGetCount())]
        cards = [
            (pynvml.nvmlDeviceGetName(h), tuple(pynvml.nvmlDeviceGetCudaComputeCapability(h)))
            for h in handles
        ]
        return pynvml.nvmlSystemGetDriverVersion(), cards
    finally:
        pynvml.nvmlShutdown()
