"""vLLM's command line and environment, as a pure function of host, contract and settings."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from contract import Contract
from inference.host import Host
from inference.settings import Settings

# Room for problems longer than any that was trained on, in tokens.
PROMPT_ROOM = 4096
CPU_SEQUENCES = 64


@dataclass(frozen=True)
class Launch:
    argv: list[str]
    environment: dict[str, str]


def served_names(contract: Contract) -> list[str]:
    """The name with the digest, by which one asks for exactly these weights, and the plain name."""
    return [f"{contract.model}@{contract.digest}", contract.model]


def launch(
    host: Host, contract: Contract, model: Path, position_limit: int, settings: Settings
) -> Launch:
    """How vLLM is started for `contract`'s weights in the directory `model`.

    Args:
        position_limit: the longest sequence the model's position encoding allows, in tokens.
    """
    prompt_room = max(contract.lengths.longest_prompt, PROMPT_ROOM)
    length = settings.max_model_len or min(
        position_limit, prompt_room + contract.sampling.max_tokens
    )
    argv = [
        *(sys.executable, "-m", "vllm.entrypoints.openai.api_server"),
        *("--model", str(model)),
        *("--served-model-name", *served_names(contract)),
        *("--host", settings.inference_host),
        *("--port", str(settings.inference_port)),
        *("--max-model-len", str(length)),
        *("--dtype", _dtype(host, contract)),
        *("--generation-config", "vllm"),
        *("--seed", "0"),
    ]
    environment = {"VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}
    if settings.inference_api_key:
        environment["VLLM_API_KEY"] = settings.inference_api_key
    sequences = settings.max_num_seqs
    if host.gpus:
        argv += ["--gpu-memory-utilization", str(settings.gpu_memory_utilization)]
        argv += ["--tensor-parallel-size", str(host.gpus)] if host.gpus > 1 else []
        # its kernels would be compiled by an nvcc that is not there
        environment["VLLM_USE_FLASHINFER_SAMPLER"] = "0"
    else:
        sequences = sequences or CPU_SEQUENCES
        environment["VLLM_CPU_KVCACHE_SPACE"] = str(settings.cpu_kv_cache_gib)
        environment["OMP_NUM_THREADS"] = str(host.cores)
        if host.cores <= 4:  # binding leaves a small host no core for the API server
            environment["VLLM_CPU_OMP_THREADS_BIND"] = "nobind"
        # A prompt prefilled in parts kills the engine on a CPU when its request has a seed ("CPU
        # Generator does not use offset", seen with 0.29.0), and every request of ours has one.
        argv += ["--no-enable-chunked-prefill", "--max-num-batched-tokens", str(length)]
    if sequences:
        argv += ["--max-num-seqs", str(sequences)]
    if host.capability is None or host.capability >= (8, 0):
        argv += ["--enable-prefix-caching"]  # the samples of a question share its prompt
    return Launch(argv, environment)


def _dtype(host: Host, contract: Contract) -> str:
    """What was trained in, except where the GPU has no bfloat16 (below compute capability 8.0)."""
    if contract.dtype == "bfloat16" and host.capability is not None and host.capability < (8, 0):
        return "float16"
    return contract.dtype
