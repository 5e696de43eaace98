"""DETERMINISTIC=true: what a reply needs so that it depends on its prompt and seed alone.

A card adds up numbers in another order if other requests share the batch, and a sum that is rounded
otherwise may end in another token. vLLM's batch invariance fixes the order: VLLM_BATCH_INVARIANT=1
(vllm/model_executor/layers/batch_invariant.py; its page "Batch Invariance" calls it beta). vLLM
alone leaves gaps, which are closed or refused here:

- vLLM 0.19.1 stops without a named attention backend, and on Hopper FlashAttention 3 takes other
  tiles when a longer prompt joins the batch (vLLM's issues 47069 and 51902). Triton's attention
  does not, and it is compiled on the host, so it needs no newer driver.
- TorchInductor picks some kernels by timing them. It keeps what it picked in its cache, so the
  cache has to outlast the server. TORCHINDUCTOR_DETERMINISTIC=1 would forbid the timing, but vLLM
  0.19.1 does not start with it.
- Over several cards, FlashInfer adds up small and large batches in different ways. Kernels of
  adapters and of quantized weights depend on the size of the batch.
"""

from __future__ import annotations

from inference.host import Host
from inference.settings import Settings

ATTENTION = "TRITON_ATTN"
ENVIRONMENT = {"VLLM_BATCH_INVARIANT": "1"}
# The cards for which the stack's vLLM fixes the order of sums in every matrix product.
_HOPPER_BLACKWELL = ((9, 0), (10, 0), (10, 3))
CAPABILITIES = {
    "cu12": ((8, 0), *_HOPPER_BLACKWELL),
    "cu13": ((8, 0), (8, 6), (8, 9), *_HOPPER_BLACKWELL),
}


def determinism_fault(host: Host, settings: Settings) -> str | None:
    """Why DETERMINISTIC=true cannot hold, in one line with the remedy; None if it can."""
    if settings.engine != "vllm":
        return f"DETERMINISTIC=true needs vLLM, and ENGINE is {settings.engine}: set ENGINE=vllm"
    if settings.stack not in CAPABILITIES:
        return (
            f"DETERMINISTIC=true needs a stack whose vLLM can do it, and STACK={settings.stack} "
            "cannot: set STACK=cu12 or cu13 on a host with such a card, or leave it out"
        )
    for gpu in host.gpus:
        if gpu.capability not in CAPABILITIES[settings.stack]:
            return (
                f"DETERMINISTIC=true does not hold on {gpu.name} with STACK={settings.stack} "
                f"(compute capability {_dotted(gpu.capability)}; it holds on "
                f"{', '.join(map(_dotted, CAPABILITIES[settings.stack]))}): {_remedy(host)}"
            )
    not_covered = {
        "QUANTIZATION": settings.quantization,
        "ADAPTERS": settings.adapters,
        "SERVER_ARGUMENTS": bool(settings.server_arguments),
        "ATTENTION_BACKEND": settings.attention_backend not in (None, ATTENTION),
        "TENSOR_PARALLEL_SIZE": (settings.tensor_parallel_size or 1) > 1,
    }
    named = [name for name, is_set in not_covered.items() if is_set]
    if named:
        return (
            f"DETERMINISTIC=true does not hold with {' and '.join(named)}: leave one of the two out"
        )
    return None


def width_fault(width: int) -> str | None:
    """The same for the number of cards that one copy of the weights is spread over."""
    if width == 1:
        return None
    return (
        f"DETERMINISTIC=true does not hold if the weights are spread over cards, and {width} are "
        "needed for them: take larger cards or a smaller base, or leave it out"
    )


def _remedy(host: Host) -> str:
    others = [
        stack
        for stack, capabilities in CAPABILITIES.items()
        if all(gpu.capability in capabilities for gpu in host.gpus)
    ]
    return f"set STACK={others[0]}, or leave it out" if others else "leave it out"


def _dotted(capability: tuple[int, int]) -> str:
    return ".".join(map(str, capability))
