"""How much of the cards' memory the server takes, and over how many cards a copy is spread."""

from __future__ import annotations

from inference.errors import RefusedError
from inference.host import Host
from inference.settings import Settings
from inference.weights import Weights

GIB = 2**30
GPU_SHARE = 0.90
# GPU memory besides weights and KV cache: CUDA's context and graphs, a batch's activations.
WORKING_BYTES = 2 * GIB
# Free memory that a new process needs before it can take its share.
SPARE_BYTES = GIB // 2


def memory_share(host: Host, settings: Settings) -> tuple[float, str]:
    """The share of memory for vLLM, with the reason. vLLM takes a share of the whole memory, and
    stops if less is free.
    """
    if settings.gpu_memory_utilization:
        return settings.gpu_memory_utilization, "GPU_MEMORY_UTILIZATION"
    free = min((gpu.free_bytes - SPARE_BYTES) / gpu.memory_bytes for gpu in host.gpus)
    if free < GPU_SHARE:
        taken = max(gpu.memory_bytes - gpu.free_bytes for gpu in host.gpus) / GIB
        return max(0.05, int(free * 100) / 100), f"other programs hold {taken:.1f} GiB"
    return GPU_SHARE, "the rest is left to other programs"


def widest(gpus: int, heads: int) -> int:
    return max(n for n in range(1, gpus + 1) if gpus % n == 0 and heads % n == 0)


def tensor_parallel(
    host: Host, weights: Weights, budget: int, held: int, settings: Settings
) -> int:
    """The number of cards over which one copy of the weights is spread: the fewest that hold it."""
    gpus = len(host.gpus)
    if settings.tensor_parallel_size:
        width = settings.tensor_parallel_size
        if gpus % width or weights.heads % width:
            raise RefusedError(
                f"TENSOR_PARALLEL_SIZE={width} must divide the {gpus} GPUs and the model's "
                f"{weights.heads} heads: leave it out, or set it to {widest(gpus, weights.heads)}"
            )
        return width
    widths = [n for n in range(1, gpus + 1) if gpus % n == 0 and weights.heads % n == 0]
    # at least a fifth of a card for the KV cache, so that more than a few samples run at once
    roomy = [n for n in widths if held / n <= 0.8 * budget]
    return roomy[0] if roomy else widths[-1]


def does_not_fit(
    host: Host, weights: Weights, settings: Settings, length: int, share: float
) -> str:
    gpu = min(host.gpus, key=lambda gpu: gpu.memory_bytes)
    held, gpus = weights.held_bytes(settings.quantization), len(host.gpus)
    has = share * gpu.memory_bytes * gpus / GIB
    kv = length * weights.kv_bytes_per_token / GIB
    needs = (held + WORKING_BYTES * gpus) / GIB + kv
    numbers = (
        f"{held / GIB:.1f} GiB of weights, {WORKING_BYTES * gpus / GIB:.0f} GiB to work in and "
        f"{kv:.1f} GiB for one sequence of {length} tokens make {needs:.1f} GiB, and "
        f"{f'{gpus} x ' if gpus > 1 else ''}{gpu.name} gives {has:.1f}"
    )
    ways = [
        f"set QUANTIZATION={name}"
        for name, lowest in (("fp8", (8, 0)), ("int4", (7, 0)))
        if (saved := (held - weights.held_bytes(name)) / GIB) > 0
        and needs - saved <= has
        and all(gpu.capability >= lowest for gpu in host.gpus)
    ]
    ways += ["set a smaller MAX_MODEL_LEN"] if settings.max_model_len else []
    return f"the model does not fit: {numbers}; {', or '.join([*ways, 'take a smaller base'])}"
