"""Decides if a newer model's server may start beside the old one."""

from __future__ import annotations

from collections.abc import Callable

from inference.cards import GIB, SPARE_BYTES
from inference.errors import RefusedError
from inference.host import Host
from inference.launch import Launch
from inference.settings import Settings
from inference.weights import Weights

# Main memory of vLLM's processes on a CPU, besides weights and KV cache.
PROCESS_BYTES = 3 * GIB


def lacks_room(
    now: Host, weights: Weights, settings: Settings, alone: Launch, plan: Callable[[Host], Launch]
) -> str | None:
    """The reason why the server must wait for the old one's end; None if there is room for both.

    `now` is the host with the old server at work, and `alone` the plan for the host without it.
    There is room only if the newer server gets all that it would get alone: it gets no more later.
    """
    if settings.stack == "cpu":
        needs = 2 * weights.size_bytes + settings.cpu_kv_cache_gib * GIB + PROCESS_BYTES
        if needs <= now.free_bytes:
            return None
        free = now.free_bytes / GIB
        return f"it needs about {needs / GIB:.1f} GiB of memory, and {free:.1f} are free"
    share = settings.gpu_memory_utilization
    if share:
        free = min((gpu.free_bytes - SPARE_BYTES) / gpu.memory_bytes for gpu in now.gpus)
        if free >= share:
            return None
        return f"GPU_MEMORY_UTILIZATION is {share}, and a share of {max(free, 0):.2f} is free"
    try:
        beside = plan(now)
    except RefusedError:
        return "the old server holds the memory that it needs"
    if _capacity(beside) == _capacity(alone):
        return None
    return "its KV cache would be smaller beside the old server"


def _capacity(planned: Launch) -> list[str]:
    """What a server can do at once: its longest sequence, and its number of sequences."""
    return [row.value for row in planned.decisions if row.what in ("max-model-len", "max-num-seqs")]
