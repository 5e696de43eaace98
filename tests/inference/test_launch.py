"""The server's command line, as a function of host, contract and settings."""

from pathlib import Path
from typing import Any

import pytest

from contracts import make_contract
from inference.host import Host, this_host
from inference.launch import Launch, launch
from inference.settings import Settings

CPU = Host(0, None, 2)
A10 = Host(1, (8, 6), 8)
V100 = Host(1, (7, 0), 8)
TWO_H100 = Host(2, (9, 0), 64)
MODEL = Path("/models/m/d")


def start(host: Host, limit: int = 32768, longest_prompt: int = 100, **chosen: Any) -> Launch:
    contract = make_contract(longest_prompt=longest_prompt)
    return launch(host, contract, MODEL, limit, Settings(**chosen))


def flag(started: Launch, name: str) -> str | None:
    return started.argv[started.argv.index(name) + 1] if name in started.argv else None


@pytest.mark.parametrize(
    ("host", "dtype"),
    [(CPU, "bfloat16"), (A10, "bfloat16"), (V100, "float16"), (TWO_H100, "bfloat16")],
)
def test_weights_are_served_in_the_dtype_they_were_trained_in_where_the_host_has_it(
    host: Host, dtype: str
) -> None:
    assert flag(start(host), "--dtype") == dtype


def test_the_weights_can_be_asked_for_by_their_digest() -> None:
    started = start(A10)
    at = started.argv.index("--served-model-name")
    assert started.argv[at + 1 : at + 3] == ["m@d", "m"]


def test_no_sampling_default_of_the_model_applies_silently() -> None:
    assert flag(start(A10), "--generation-config") == "vllm"


@pytest.mark.parametrize(
    ("limit", "longest_prompt", "length"),
    [(32768, 100, 4096 + 512), (32768, 9000, 9512), (2048, 100, 2048)],
)
def test_the_longest_sequence_follows_training_and_the_models_positions(
    limit: int, longest_prompt: int, length: int
) -> None:
    assert flag(start(A10, limit, longest_prompt), "--max-model-len") == str(length)
    assert flag(start(A10, limit, longest_prompt, max_model_len=777), "--max-model-len") == "777"


def test_a_gpu_gets_its_share_of_memory_and_no_compiler_is_needed() -> None:
    started = start(A10, gpu_memory_utilization=0.8)
    assert flag(started, "--gpu-memory-utilization") == "0.8"
    assert started.environment["VLLM_USE_FLASHINFER_SAMPLER"] == "0"
    assert "--tensor-parallel-size" not in started.argv
    assert flag(start(TWO_H100), "--tensor-parallel-size") == "2"


def test_a_volta_card_gets_no_prefix_caching() -> None:
    assert "--enable-prefix-caching" in start(A10).argv
    assert "--enable-prefix-caching" not in start(V100).argv


def test_a_cpu_is_not_prefilled_in_parts_because_seeded_requests_would_end_the_engine() -> None:
    started = start(CPU)
    assert "--no-enable-chunked-prefill" in started.argv
    assert flag(started, "--max-num-batched-tokens") == flag(started, "--max-model-len")
    assert "--gpu-memory-utilization" not in started.argv
    assert started.environment["VLLM_CPU_OMP_THREADS_BIND"] == "nobind"


def test_a_key_reaches_the_server_by_its_environment_not_its_command_line() -> None:
    started = start(A10, inference_api_key="secret")
    assert started.environment["VLLM_API_KEY"] == "secret"
    assert "secret" not in started.argv


def test_this_host_is_found_out_without_failing() -> None:
    host = this_host()
    assert host.cores >= 1
    assert (host.capability is None) == (host.gpus == 0)
