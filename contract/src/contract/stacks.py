"""Stacks: tested version sets of torch, transformers, peft and vLLM, each for one kind of host, and
what each stack needs from its host.

The oldest driver follows from the CUDA version that the wheels were built with: 12.x needs driver
525, 13.0 needs 580 (NVIDIA, CUDA Compatibility, "Minor Version Compatibility"). The compute
capabilities are those that have kernels in the wheels and that vLLM serves.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

Stack = Literal["cpu", "cu12", "volta", "cu13"]

OLDEST_DRIVER = {"cu12": 525, "volta": 525, "cu13": 580}
CAPABILITIES = {
    "cu12": ((8, 0), (12, 9)),
    "volta": ((7, 0), (9, 0)),
    "cu13": ((8, 0), (99, 9)),
}


def stack_fault(
    stack: Stack, driver: str | None, cards: Sequence[tuple[str, tuple[int, int]]]
) -> str | None:
    """Why a GPU stack cannot run on a host, in one line with the remedy; None if it can.

    `driver` is the NVIDIA driver's version; `cards` are names and compute capabilities.
    """
    if stack == "cpu":
        return None
    if not cards or driver is None:
        return (
            f"STACK={stack} needs an NVIDIA GPU and none is visible here: install the driver and "
            "the NVIDIA container toolkit, or run the CPU stack (make env STACK=cpu)"
        )
    oldest, major = OLDEST_DRIVER[stack], int(driver.split(".")[0])
    if major < oldest:
        other = "set STACK=cu12" if major >= OLDEST_DRIVER["cu12"] else "install a newer driver"
        return (
            f"the NVIDIA driver {driver} is too old for STACK={stack}, which needs {oldest} or "
            f"newer: {other}"
        )
    lowest, highest = CAPABILITIES[stack]
    for name, capability in cards:
        if lowest <= capability <= highest:
            continue
        suited = [
            other
            for other in ("cu12", "cu13", "volta")
            if CAPABILITIES[other][0] <= capability <= CAPABILITIES[other][1]
            and major >= OLDEST_DRIVER[other]
        ]
        remedy = f"set STACK={suited[0]}" if suited else "no stack serves this card"
        return (
            f"{name} has compute capability {_dotted(capability)}, and STACK={stack} serves "
            f"{_dotted(lowest)} to {_dotted(highest)}: {remedy}"
        )
    return None


def visible_cards(ids: Sequence[str], chosen: str | None) -> list[int]:
    """The places of the cards that CUDA gives this process, of all cards with these UUIDs.

    `chosen` is CUDA_VISIBLE_DEVICES: indices or beginnings of UUIDs, separated by commas. As in
    CUDA, the first entry that names no card ends the list. A part of a card (MIG) counts as its
    card.
    Indices are taken in the order of NVML and nvidia-smi, which is that of the PCI bus. CUDA's own
    default order differs only between unlike cards.
    """
    if chosen is None or "MIG-" in chosen:
        return list(range(len(ids)))
    found: list[int] = []
    for entry in (part.strip() for part in chosen.split(",")):
        named = (
            [int(entry)]
            if entry.isdecimal() and int(entry) < len(ids)
            else [
                i
                for i, uuid in enumerate(ids)
                if entry.startswith("GPU-") and uuid.startswith(entry)
            ]
        )
        if len(named) != 1:
            break
        found += named
    return found


def _dotted(capability: tuple[int, int]) -> str:
    return ".".join(map(str, capability))
