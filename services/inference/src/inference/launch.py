"""Decides how the server is started: a pure function of host, contract, weights and settings.

Every choice is printed with its reason, and a setting can override it. A combination that cannot
work is refused here, with the remedy, before anything is loaded.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from typing import NamedTuple

from contract import Contract, stack_fault
from inference.cards import GIB, WORKING_BYTES, does_not_fit, memory_share, tensor_parallel, widest
from inference.deterministic import ATTENTION, ENVIRONMENT, determinism_fault, width_fault
from inference.errors import RefusedError
from inference.front import LOOPBACK
from inference.host import Host
from inference.settings import Settings
from inference.weights import Weights

# Room for prompts longer than the longest trained one, in tokens.
PROMPT_ROOM = 4096
CPU_SEQUENCES = 64
# Smaller weights are not compiled on a CPU: compiling takes longer than it saves.
EAGER_BYTES = GIB // 4
# vLLM's own defaults, by the size of the card.
LARGE_CARD_BYTES = 70 * GIB
MOST_SEQUENCES, MOST_ON_LARGE, FEWEST_SEQUENCES = 256, 1024, 8
# With this share, two servers fit on the cards.
HALF_SHARE = 0.45


class Decision(NamedTuple):
    what: str
    value: str
    why: str


@dataclass(frozen=True)
class Launch:
    """`command` is the server's module and its arguments."""

    command: list[str]
    environment: dict[str, str]
    decisions: list[Decision]


@dataclass
class _Plan:
    command: list[str] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)
    decisions: list[Decision] = field(default_factory=list)

    def say(self, what: str, value: object, why: str) -> None:
        self.decisions.append(Decision(what, str(value), why))

    def flag(self, name: str, value: object, why: str) -> None:
        self.command += [f"--{name}", str(value)]
        self.say(name, value, why)

    def switch(self, name: str, on: bool, why: str) -> None:
        self.command.append(f"--{'' if on else 'no-'}{name}")
        self.say(name, "on" if on else "off", why)


def served_names(contract: Contract) -> list[str]:
    """The name with the digest, which stands for exactly these weights, and the plain name."""
    return [contract.served_name, contract.model]


def launch(
    host: Host, contract: Contract, weights: Weights, port: int, settings: Settings
) -> Launch:
    """How to start the server for the weights of `contract`, so that it listens on `port` of the
    loopback interface. It must start in a folder where the model has its contract's name.

    Raises:
        RefusedError: the host, the stack and the weights do not fit together.
    """
    if settings.deterministic and (fault := determinism_fault(host, settings)):
        raise RefusedError(fault)
    if settings.engine == "transformers":
        return _transformers(host, contract, port, settings)
    plan = _Plan(["vllm.entrypoints.openai.api_server"])
    plan.command += [
        "--model",
        f"./{contract.model}",
        "--served-model-name",
        *served_names(contract),
    ]
    plan.command += ["--host", LOOPBACK, "--port", str(port)]
    plan.environment |= {"VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}
    if settings.inference_api_key:
        plan.environment["VLLM_API_KEY"] = settings.inference_api_key
    plan.flag("dtype", *_dtype(host, contract, settings))
    plan.flag("generation-config", "vllm", "no sampling default of the model applies silently")
    plan.command += ["--seed", "0", "--uvicorn-log-level", "warning"]  # no line per request
    if settings.stack == "cpu":
        _on_cpu(plan, host, contract, weights, settings)
    else:
        cards = [(gpu.name, gpu.capability) for gpu in host.gpus]
        if fault := stack_fault(settings.stack, host.driver, cards):
            raise RefusedError(fault)
        _on_gpus(plan, host, contract, weights, settings)
    _engine(plan, host, weights, settings)
    return _finished(plan, settings)


def _finished(plan: _Plan, settings: Settings) -> Launch:
    if settings.server_arguments:
        plan.command += shlex.split(settings.server_arguments)
        plan.say("further", settings.server_arguments, "SERVER_ARGUMENTS, which are not checked")
    return Launch(plan.command, plan.environment, plan.decisions)


def _transformers(host: Host, contract: Contract, port: int, settings: Settings) -> Launch:
    """transformers' own server, for hosts on which vLLM does not run.

    It names a model by its path, and reads the part after an @ as a revision.
    """
    if settings.stack in ("cu12", "volta"):
        raise RefusedError(
            f"ENGINE=transformers needs transformers 5 or newer, and STACK={settings.stack} has an "
            "older one: set STACK=cu13 or cpu, or ENGINE=vllm"
        )
    if settings.adapters:
        raise RefusedError("ENGINE=transformers cannot serve ADAPTERS: set ENGINE=vllm")
    if settings.inference_api_key:
        raise RefusedError(
            "ENGINE=transformers checks no key: leave INFERENCE_API_KEY out, or set ENGINE=vllm"
        )
    name, _ = served_names(contract)
    plan = _Plan(["transformers.cli.transformers", "serve", name])
    plan.command += ["--host", LOOPBACK, "--port", str(port)]
    plan.command += ["--default-seed", "0"]
    plan.environment |= {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": str(host.cores)}
    plan.flag("dtype", *_dtype(host, contract, settings))
    plan.flag("device", "cuda" if host.gpus else "cpu", "the host's device")
    plan.say("engine", "transformers", "ENGINE; one sample a request, no restricted replies")
    return _finished(plan, settings)


def check_versions(contract: Contract, transformers: str) -> None:
    """Raises RefusedError if the weights were saved by another major version of transformers than
    the server's.

    Version 5 stores RoPE's base in a place that version 4 does not read: it silently uses 10,000.
    """
    trained = contract.provenance.versions.get("transformers", transformers)
    if trained.split(".")[0] != transformers.split(".")[0]:
        raise RefusedError(
            f"{contract.digest} was trained with transformers {trained}, and this server has "
            f"{transformers}, which may read its settings differently: serve it with the STACK it "
            "was trained with, or train again with this one"
        )


def _dtype(host: Host, contract: Contract, settings: Settings) -> tuple[str, str]:
    if settings.dtype:
        return settings.dtype, "DTYPE"
    no_bfloat16 = host.capability is not None and host.capability < (8, 0)
    if contract.dtype == "bfloat16" and no_bfloat16:
        return "float16", "trained in bfloat16, which these cards lack: read the checks at start"
    return contract.dtype, "as trained"


def _wanted_length(contract: Contract, weights: Weights, settings: Settings) -> tuple[int, str]:
    if settings.max_model_len:
        return settings.max_model_len, "MAX_MODEL_LEN"
    reply = contract.sampling.max_tokens
    prompt = max(contract.lengths.longest_prompt, PROMPT_ROOM)
    if prompt + reply > weights.position_limit:
        return weights.position_limit, "the model has no more positions"
    kind = "the longest trained" if prompt > PROMPT_ROOM else "room for a"
    return prompt + reply, f"{kind} prompt of {prompt} tokens and a reply of {reply}"


def _on_cpu(
    plan: _Plan, host: Host, contract: Contract, weights: Weights, settings: Settings
) -> None:
    length, why = _wanted_length(contract, weights, settings)
    plan.flag("max-model-len", length, why)
    chosen = settings.max_num_seqs
    plan.flag("max-num-seqs", chosen or CPU_SEQUENCES, "MAX_NUM_SEQS" if chosen else "for a CPU")
    plan.environment["VLLM_CPU_KVCACHE_SPACE"] = str(settings.cpu_kv_cache_gib)
    plan.environment["OMP_NUM_THREADS"] = str(host.cores)
    if host.cores <= 4:
        plan.environment["VLLM_CPU_OMP_THREADS_BIND"] = "nobind"
        plan.say("cores", host.cores, "not bound, so that the API server gets one too")
        # vLLM uses a process per device only because it binds cores per process
        plan.environment["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
        plan.flag("distributed-executor-backend", "uni", "the engine computes in its own process")
    if not settings.enable_chunked_prefill:
        # "CPU Generator does not use offset", seen with 0.29.0; all our requests have a seed
        plan.switch("enable-chunked-prefill", False, "seeded requests would end vLLM's CPU engine")
        plan.command += ["--max-num-batched-tokens", str(length)]


def _on_gpus(
    plan: _Plan, host: Host, contract: Contract, weights: Weights, settings: Settings
) -> None:
    memory = min(gpu.memory_bytes for gpu in host.gpus)
    share, why_share = memory_share(host, settings)
    held = weights.held_bytes(settings.quantization)
    width = tensor_parallel(host, weights, round(share * memory) - WORKING_BYTES, held, settings)
    if settings.deterministic and (fault := width_fault(width)):
        raise RefusedError(fault)
    copies = len(host.gpus) // width
    if copies > 1 and settings.stack == "volta":  # volta's engine lacks data parallelism
        width, copies = widest(len(host.gpus), weights.heads), 1
    length, why_length = _wanted_length(contract, weights, settings)
    shortest = contract.lengths.longest_prompt + contract.lengths.longest_reply
    usual = max(1, shortest // 2)
    most = MOST_ON_LARGE if memory >= LARGE_CARD_BYTES else MOST_SEQUENCES

    def kv_tokens_of(share: float) -> int:
        budget = round(share * memory) - WORKING_BYTES
        return (budget - held // width) * width // weights.kv_bytes_per_token

    is_open = not settings.gpu_memory_utilization and share > HALF_SHARE
    if is_open and kv_tokens_of(HALF_SHARE) >= max(length, most * usual):
        share = HALF_SHARE
        why_share = "more would gain nothing, and a newer model can start beside this one"
    plan.flag("gpu-memory-utilization", share, why_share)
    _spread(plan, width, copies, held, settings)
    kv_tokens = kv_tokens_of(share)
    if kv_tokens < length and shortest <= kv_tokens and not settings.max_model_len:
        length, why_length = kv_tokens, f"no more fits; the longest trained row had {shortest}"
    if kv_tokens < length:
        raise RefusedError(does_not_fit(host, weights, settings, length, share))
    plan.flag("max-model-len", length, why_length)
    plan.say("KV cache", f"{kv_tokens:,} tokens", f"about, beside {held / GIB:.1f} GiB of weights")
    if settings.max_num_seqs:
        plan.flag("max-num-seqs", settings.max_num_seqs, "MAX_NUM_SEQS")
        return
    sequences = max(FEWEST_SEQUENCES, kv_tokens // usual)
    why = f"the KV cache holds so many of {usual} tokens, half of the longest trained row"
    if sequences > most:
        sequences, why = most, "more would gain nothing on a card of this size"
    plan.flag("max-num-seqs", sequences, why)


def _spread(plan: _Plan, width: int, copies: int, held: int, settings: Settings) -> None:
    """The cards that a copy of the weights is spread over, the copies, and how they are stored."""
    if width > 1:
        plan.flag(
            "tensor-parallel-size", width, f"{held / GIB:.1f} GiB of weights over {width} cards"
        )
    if copies > 1:
        where = f"{width} cards hold" if width > 1 else "one card holds"
        plan.flag("data-parallel-size", copies, f"{where} a copy of the weights")
    if settings.quantization:
        name = {"fp8": "fp8", "int4": "bitsandbytes"}[settings.quantization]
        plan.flag("quantization", name, "QUANTIZATION; these are not exactly the verified weights")
        if name == "bitsandbytes" and settings.stack == "volta":
            plan.command += ["--load-format", "bitsandbytes"]


def _engine(plan: _Plan, host: Host, weights: Weights, settings: Settings) -> None:
    """Settings of caching and attention, and those that differ between the stacks' versions of
    vLLM.
    """
    old = settings.stack == "volta"
    old_card = host.capability is not None and host.capability < (8, 0)
    if settings.enable_prefix_caching is not None:
        plan.switch("enable-prefix-caching", settings.enable_prefix_caching, "the setting")
    elif old_card:
        plan.switch("enable-prefix-caching", False, "not on cards below capability 8.0")
    else:
        plan.switch("enable-prefix-caching", True, "the samples of a question share its prompt")
    if settings.enforce_eager is not None:
        plan.switch("enforce-eager", settings.enforce_eager, "ENFORCE_EAGER")
    elif settings.stack == "cpu" and weights.size_bytes <= EAGER_BYTES:
        plan.switch("enforce-eager", True, "compiling so small a model costs more than it saves")
    if settings.stack != "cpu":
        if settings.enable_chunked_prefill is not None:
            plan.switch("enable-chunked-prefill", settings.enable_chunked_prefill, "the setting")
        elif old_card:
            plan.switch("enable-chunked-prefill", False, "not on cards below capability 8.0")
        # FlashInfer would compile its kernels with nvcc, which is not installed
        plan.environment["VLLM_USE_FLASHINFER_SAMPLER"] = "0"
    if settings.deterministic:
        plan.environment |= ENVIRONMENT
        plan.say("deterministic", "on", "DETERMINISTIC; no reply depends on the other requests")
        backend, why = ATTENTION, "FlashAttention 3 depends on the other requests"
    elif settings.attention_backend:
        backend, why = settings.attention_backend, "ATTENTION_BACKEND"
    else:
        backend, why = "XFORMERS" if old and old_card else "", "these cards can run it"
    if backend:
        if old:
            plan.environment["VLLM_ATTENTION_BACKEND"] = backend
            plan.say("attention", backend, why)
        else:
            plan.flag("attention-backend", backend, why)
    if old:
        plan.command.append("--disable-log-requests")  # later versions do not log prompts
        if old_card:
            plan.environment["VLLM_USE_V1"] = "0"
            plan.say("engine", "V0", "V1 needs capability 8.0")
    else:
        plan.flag("shutdown-timeout", settings.drain_s, "seconds for running requests at a stop")
