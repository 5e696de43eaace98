"""Which stack a host runs. Pure: the driver and the cards are given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, get_args

from contract import Stack, stack_fault

# The order in which they are tried: cu13 is only for cards that no older stack serves.
GPU_STACKS: tuple[Stack, ...] = ("cu12", "volta", "cu13")


class Choice(NamedTuple):
    """A stack, and in a few words why it was chosen."""

    stack: Stack
    why: str


class UnservedHostError(Exception):
    """The stack that was asked for cannot run here, or no stack serves this GPU."""


def choose_stack(
    asked: str,
    driver: str | None,
    cards: Sequence[tuple[str, tuple[int, int]]],
    *,
    cpu_will_do: bool,
    device_is_there: bool = False,
) -> Choice:
    """The stack for a host: `asked` if it can run there; if nothing is asked, the first that can.

    `cards` are names and compute capabilities. `cpu_will_do`: what is to be run is small enough for
    a CPU, so a GPU that no stack serves is left alone. `device_is_there`: the kernel shows a GPU
    of NVIDIA's, whether or not nvidia-smi does.

    Raises:
        UnservedHostError: with the remedy.
    """
    if asked:
        return _asked(asked, driver, cards)
    if driver is None and device_is_there:
        silent = "an NVIDIA GPU is here, but nvidia-smi does not answer: see what it says"
        if cpu_will_do:
            return Choice("cpu", silent)
        raise UnservedHostError(f"{silent}; to run on the CPU instead, set STACK=cpu")
    if driver is None or not cards:
        return Choice("cpu", "no NVIDIA GPU is visible here")
    faults = {stack: stack_fault(stack, driver, cards) for stack in GPU_STACKS}
    for stack in GPU_STACKS:
        if faults[stack] is None:
            return Choice(stack, f"it serves {_names(cards)} with driver {driver}")
    fault = faults["cu12"]
    if cpu_will_do:
        return Choice("cpu", f"no stack serves the GPU here ({fault})")
    raise UnservedHostError(f"{fault}; to run on the CPU instead, set STACK=cpu")


def _asked(asked: str, driver: str | None, cards: Sequence[tuple[str, tuple[int, int]]]) -> Choice:
    stack = next((known for known in get_args(Stack) if known == asked), None)
    if stack is None:
        raise UnservedHostError(f"STACK={asked} is none of {', '.join(get_args(Stack))}")
    if stack != "cpu" and (driver is None or not cards):
        raise UnservedHostError(
            f"STACK={stack} needs an NVIDIA GPU and none is visible here: nvidia-smi must list it, "
            "and CUDA_VISIBLE_DEVICES must not hide it; without STACK, the CPU is used"
        )
    if fault := stack_fault(stack, driver, cards):
        raise UnservedHostError(fault)
    return Choice(stack, "STACK asks for it")


def _names(cards: Sequence[tuple[str, tuple[int, int]]]) -> str:
    counts = {name: sum(name == other for other, _ in cards) for name, _ in cards}
    return ", ".join(name if count == 1 else f"{count} x {name}" for name, count in counts.items())
