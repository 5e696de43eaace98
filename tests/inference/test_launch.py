"""The server's command line, as a function of host, contract, weights and settings."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from contracts import make_contract
from hosts import GIB, QWEN2_7B, QWEN2_72B, host
from inference.errors import RefusedError
from inference.host import Gpu, Host, this_host
from inference.launch import Launch, check_versions, launch
from inference.settings import Settings
from inference.weights import Weights, read_weights


def start(
    where: Host,
    stack: str = "cu12",
    weights: Weights = QWEN2_7B,
    longest_prompt: int = 1500,
    **chosen: Any,
) -> Launch:
    contract = make_contract(longest_prompt=longest_prompt)
    settings = Settings.model_validate({"stack": stack, **chosen})
    return launch(where, contract, weights, 8000, settings)


def flag(started: Launch, name: str) -> str | None:
    return started.command[started.command.index(name) + 1] if name in started.command else None


# card, number, stack, driver: dtype, length, sequences at once, tensor and data parallel
SERVED = [
    ("V100-32G", 1, "volta", "530.30.02", "float16", 4608, 256, None, None),
    ("V100-32G", 8, "volta", "550.54.15", "float16", 4608, 256, "4", None),
    ("T4-16G", 2, "volta", "525.60.13", "float16", 4608, 212, "2", None),
    ("A10-24G", 1, "cu12", "525.60.13", "bfloat16", 4608, 97, None, None),
    ("A10-24G", 1, "cu12", "530.30.02", "bfloat16", 4608, 97, None, None),
    ("A10-24G", 2, "cu12", "530.30.02", "bfloat16", 4608, 97, None, "2"),
    ("4090-24G", 1, "cu12", "550.54.15", "bfloat16", 4608, 124, None, None),
    ("A100-40G", 1, "cu12", "530.30.02", "bfloat16", 4608, 256, None, None),
    ("A100-80G", 1, "cu12", "550.54.15", "bfloat16", 4608, 1024, None, None),
    ("A100-80G", 8, "cu12", "550.54.15", "bfloat16", 4608, 1024, None, "8"),
    ("H100-80G", 1, "cu12", "550.54.15", "bfloat16", 4608, 1024, None, None),
    ("H100-80G", 1, "cu13", "580.65.06", "bfloat16", 4608, 1024, None, None),
    ("H200-141G", 2, "cu13", "580.65.06", "bfloat16", 4608, 1024, None, "2"),
    (None, 1, "cpu", "", "bfloat16", 4608, 64, None, None),
]


@pytest.mark.parametrize(
    ("card", "count", "stack", "driver", "dtype", "length", "sequences", "tensor", "data"), SERVED
)
def test_every_host_gets_the_command_line_that_fits_it(
    card: str | None,
    count: int,
    stack: str,
    driver: str,
    dtype: str,
    length: int,
    sequences: int,
    tensor: str | None,
    data: str | None,
) -> None:
    started = start(host(card, count, driver), stack)
    assert flag(started, "--dtype") == dtype
    assert flag(started, "--max-model-len") == str(length)
    assert flag(started, "--max-num-seqs") == str(sequences)
    assert flag(started, "--tensor-parallel-size") == tensor
    assert flag(started, "--data-parallel-size") == data


# card, number, stack, driver, settings: part of the one line of refusal
REFUSED = [
    (None, 1, "cu12", "", {}, "none is visible here: install the driver and the NVIDIA container"),
    ("A10-24G", 1, "cu12", "470.256.02", {}, "driver 470.256.02 is too old .* install a newer"),
    ("V100-32G", 1, "volta", "470.256.02", {}, "needs 525 or newer: install a newer driver"),
    ("H100-80G", 1, "cu13", "550.54.15", {}, "needs 580 or newer: set STACK=cu12"),
    ("H100-80G", 1, "cu13", "470.256.02", {}, "needs 580 or newer: install a newer driver"),
    ("V100-32G", 1, "cu12", "550.54.15", {}, "capability 7.0, and .* set STACK=volta"),
    ("V100-32G", 1, "cu13", "580.65.06", {}, "capability 7.0, and .* set STACK=volta"),
    ("T4-16G", 1, "cu12", "530.30.02", {}, "capability 7.5, and .* set STACK=volta"),
    ("T4-16G", 1, "volta", "530.30.02", {}, "14.2 GiB of weights, .* set QUANTIZATION=int4, or"),
    (
        "A10-24G",
        1,
        "cu12",
        "530.30.02",
        {"max_model_len": 32768, "gpu_memory_utilization": 0.75},
        "set QUANTIZATION=fp8, or set QUANTIZATION=int4, or set a smaller MAX_MODEL_LEN, or",
    ),
    ("A10-24G", 2, "cu12", "530.30.02", {"tensor_parallel_size": 3}, "or set it to 2"),
    (None, 1, "cpu", "", {"deterministic": True}, "STACK=cpu cannot: set STACK=cu12 or cu13"),
    ("V100-32G", 1, "volta", "530.30.02", {"deterministic": True}, "STACK=volta cannot: set STACK"),
    (
        "A10-24G",
        1,
        "cu12",
        "580.65.06",
        {"deterministic": True},
        r"capability 8.6; it holds on 8.0, 9.0, .*: set STACK=cu13, or leave it out",
    ),
    (
        "H100-80G",
        1,
        "cu12",
        "550.54.15",
        {"deterministic": True, "quantization": "fp8", "adapters": "a=m/d"},
        "with QUANTIZATION and ADAPTERS: leave one of the two out",
    ),
    (
        "H100-80G",
        1,
        "cu12",
        "550.54.15",
        {"deterministic": True, "attention_backend": "FLASH_ATTN"},
        "with ATTENTION_BACKEND: leave",
    ),
    ("H100-80G", 1, "cu13", "580.65.06", {"deterministic": True, "engine": "transformers"}, "vLLM"),
]


@pytest.mark.parametrize(("card", "count", "stack", "driver", "chosen", "says"), REFUSED)
def test_each_impossible_setup_is_refused_with_a_remedy(
    card: str | None, count: int, stack: str, driver: str, chosen: dict[str, Any], says: str
) -> None:
    with pytest.raises(RefusedError, match=says) as refused:
        start(host(card, count, driver), stack, **chosen)
    assert "\n" not in str(refused.value)


def test_weights_of_another_major_of_transformers_are_refused() -> None:
    contract = make_contract()
    versions = {**contract.provenance.versions, "transformers": "5.19.0"}
    provenance = contract.provenance.model_copy(update={"versions": versions})
    contract = contract.model_copy(update={"provenance": provenance})
    check_versions(contract, "5.16.1")
    with pytest.raises(RefusedError, match=r"with transformers 5.19.0, and this server has 4.57.6"):
        check_versions(contract, "4.57.6")


def test_transformers_server_serves_under_the_same_name() -> None:
    started = start(host(), "cpu", engine="transformers")
    assert started.command[:3] == ["transformers.cli.transformers", "serve", "m@d"]
    assert flag(started, "--device") == "cpu"
    with pytest.raises(RefusedError, match="set STACK=cu13 or cpu, or ENGINE=vllm"):
        start(host("A10-24G"), "cu12", engine="transformers")
    with pytest.raises(RefusedError, match="leave INFERENCE_API_KEY out"):
        start(host(), "cpu", engine="transformers", inference_api_key="k")


def test_the_remedy_that_a_refusal_names_works() -> None:
    started = start(host("T4-16G"), "volta", quantization="int4")
    assert flag(started, "--quantization") == "bitsandbytes"
    assert flag(started, "--load-format") == "bitsandbytes"
    assert "--load-format" not in start(host("A10-24G"), quantization="int4").command
    assert flag(start(host("A10-24G"), quantization="fp8"), "--quantization") == "fp8"


def test_a_large_model_is_split_over_as_few_cards_as_possible() -> None:
    eight = start(host("H100-80G", 8), weights=QWEN2_72B)
    assert flag(eight, "--tensor-parallel-size") == "4"
    assert flag(eight, "--data-parallel-size") == "2"
    with pytest.raises(RefusedError, match=r"2 x NVIDIA A10 gives 40.5; take a smaller base"):
        start(host("A10-24G", 2), weights=QWEN2_72B)
    with pytest.raises(RefusedError, match=r"gives 72.0; set QUANTIZATION=int4, or take a smaller"):
        start(host("A100-80G"), weights=QWEN2_72B)


def test_little_memory_shortens_the_length_to_the_trained_one() -> None:
    small = Gpu("a card", (8, 0), 18 * GIB + GIB // 2, 18 * GIB)
    started = start(Host((small,), "550", 8, 64 * GIB), gpu_memory_utilization=0.884)
    length = flag(started, "--max-model-len")
    assert length is not None
    assert 1550 <= int(length) < 4608
    assert "no more fits" in str(started.decisions)


def test_memory_held_by_other_programs_is_left_alone() -> None:
    shared = Gpu("a desktop's card", (8, 9), 24 * GIB, 20 * GIB)
    started = start(Host((shared,), "550", 8, 64 * GIB))
    assert flag(started, "--gpu-memory-utilization") == "0.81"
    assert ("other programs hold 4.0 GiB") in str(started.decisions)


@pytest.mark.parametrize(
    ("setting", "value", "argument"),
    [
        ("dtype", "float32", "--dtype float32"),
        ("max_model_len", 777, "--max-model-len 777"),
        ("max_num_seqs", 3, "--max-num-seqs 3"),
        ("gpu_memory_utilization", 0.8, "--gpu-memory-utilization 0.8"),
        ("tensor_parallel_size", 2, "--tensor-parallel-size 2"),
        ("enable_prefix_caching", False, "--no-enable-prefix-caching"),
        ("enable_chunked_prefill", False, "--no-enable-chunked-prefill"),
        ("enforce_eager", True, "--enforce-eager"),
        ("enforce_eager", False, "--no-enforce-eager"),
        ("attention_backend", "FLASHINFER", "--attention-backend FLASHINFER"),
        ("quantization", "fp8", "--quantization fp8"),
        ("drain_s", 5, "--shutdown-timeout 5"),
        ("server_arguments", "--max-num-batched-tokens '16384'", "--max-num-batched-tokens 16384"),
    ],
)
def test_every_decision_can_be_overridden(setting: str, value: Any, argument: str) -> None:
    assert argument in " ".join(start(host("A100-80G", 2), **{setting: value}).command)


def test_every_decision_has_a_reason() -> None:
    for started in (start(host("A10-24G")), start(host("V100-32G"), "volta"), start(host(), "cpu")):
        assert len(started.decisions) >= 7
        assert all(what and value and why for what, value, why in started.decisions)


@pytest.mark.parametrize(
    ("card", "count", "stack"),
    [("H100-80G", 1, "cu12"), ("H200-141G", 2, "cu13"), ("A100-80G", 1, "cu12")],
)
def test_a_deterministic_server_says_so_and_fixes_its_sums(
    card: str, count: int, stack: str
) -> None:
    started = start(host(card, count, "580.65.06"), stack, deterministic=True)
    assert started.environment["VLLM_BATCH_INVARIANT"] == "1"
    assert flag(started, "--attention-backend") == "TRITON_ATTN"
    assert flag(started, "--shutdown-timeout") == "60"
    assert "deterministic" in {row.what for row in started.decisions}


def test_a_server_is_deterministic_only_if_it_is_told_to() -> None:
    started = start(host("H100-80G"))
    assert "VLLM_BATCH_INVARIANT" not in started.environment
    assert "--attention-backend" not in started.command


def test_deterministic_weights_must_fit_one_card() -> None:
    with pytest.raises(RefusedError, match=r"spread over cards, and 2 are needed .* larger cards"):
        start(host("H200-141G", 2), weights=QWEN2_72B, deterministic=True)


def test_the_weights_can_be_requested_by_digest() -> None:
    started = start(host("A10-24G"))
    at = started.command.index("--served-model-name")
    assert started.command[at + 1 : at + 3] == ["m@d", "m"]


def test_no_sampling_default_of_the_model_applies_silently() -> None:
    assert flag(start(host("A10-24G")), "--generation-config") == "vllm"


@pytest.mark.parametrize(
    ("limit", "longest_prompt", "length"),
    [(32768, 100, 4096 + 512), (32768, 9000, 9512), (2048, 100, 2048)],
)
def test_the_longest_sequence_follows_training_and_the_model(
    limit: int, longest_prompt: int, length: int
) -> None:
    weights = Weights(**{**vars(QWEN2_7B), "position_limit": limit})
    started = start(host("A10-24G"), weights=weights, longest_prompt=longest_prompt)
    assert flag(started, "--max-model-len") == str(length)


def test_a_volta_card_gets_an_engine_and_attention_it_can_run() -> None:
    started = start(host("V100-32G"), "volta")
    assert started.environment["VLLM_USE_V1"] == "0"
    assert started.environment["VLLM_ATTENTION_BACKEND"] == "XFORMERS"
    assert "--no-enable-prefix-caching" in started.command
    assert "--no-enable-chunked-prefill" in started.command
    assert "--shutdown-timeout" not in started.command  # vLLM 0.8.5 does not know it
    assert "--disable-log-requests" in started.command  # and it logs prompts


def test_no_compiler_is_needed_on_a_gpu() -> None:
    assert start(host("A10-24G")).environment["VLLM_USE_FLASHINFER_SAMPLER"] == "0"


def test_chunked_prefill_is_off_on_a_cpu() -> None:
    started = start(host(), "cpu")
    assert "--no-enable-chunked-prefill" in started.command
    assert flag(started, "--max-num-batched-tokens") == flag(started, "--max-model-len")
    assert "--gpu-memory-utilization" not in started.command
    assert started.environment["VLLM_CPU_OMP_THREADS_BIND"] == "nobind"


@pytest.mark.parametrize(("cores", "own"), [(2, True), (4, True), (16, False)])
def test_on_few_cores_the_engine_computes_in_its_own_process(cores: int, own: bool) -> None:
    started = start(replace(host(), cores=cores), "cpu")
    assert ("--distributed-executor-backend" in started.command) == own
    assert (started.environment.get("VLLM_ENABLE_V1_MULTIPROCESSING") == "0") == own


@pytest.mark.parametrize(
    ("card", "stack", "megabytes", "eager"),
    [
        (None, "cpu", 4, True),
        (None, "cpu", 300, False),
        ("A10-24G", "cu12", 4, False),
    ],
)
def test_only_small_models_on_a_cpu_are_not_compiled(
    card: str | None, stack: str, megabytes: int, eager: bool
) -> None:
    weights = Weights(**{**vars(QWEN2_7B), "size_bytes": megabytes * 10**6, "embedding_bytes": 0})
    assert ("--enforce-eager" in start(host(card), stack, weights=weights).command) == eager


def test_a_key_reaches_the_server_by_its_environment_alone() -> None:
    started = start(host("A10-24G"), inference_api_key="secret")
    assert started.environment["VLLM_API_KEY"] == "secret"
    assert "secret" not in started.command


def test_this_host_is_examined_without_torch() -> None:
    where = this_host()
    assert where.cores >= 1
    assert (where.driver is None) == (not where.gpus)
    loads = "import inference.serving, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", loads]).returncode == 0


def test_sizes_are_read_from_the_files(root: Path) -> None:
    base = root / "examples/demo/base"
    found = read_weights(base)
    assert found.size_bytes == (base / "model.safetensors").stat().st_size
    assert found.embedding_bytes == 436 * 192 * 2  # tied, in bfloat16
    assert found.kv_bytes_per_token == 2 * 4 * 2 * 48 * 2
    assert found.held_bytes("fp8") < found.held_bytes(None) == found.size_bytes


def test_a_model_without_attention_sizes_is_refused(root: Path, tmp_path: Path) -> None:
    config = json.loads((root / "examples/demo/base/config.json").read_bytes())
    del config["num_attention_heads"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(RefusedError, match="names no num_attention_heads"):
        read_weights(tmp_path)


@pytest.mark.long
def test_vllm_accepts_the_command_lines() -> None:
    """The vLLM of this environment; it parses a GPU's flags without a GPU."""
    hosts = [("A100-80G", "cu13"), (None, "cpu")]
    lines = [
        start(host(card, 2, "580.65.06"), stack, attention_backend="FLASH_ATTN").command[1:]
        for card, stack in hosts
    ] + [start(host("H100-80G", 1, "580.65.06"), "cu13", deterministic=True).command[1:]]
    parse = (
        "import json, sys\n"
        "from vllm.entrypoints.launchers.cli_args import make_arg_parser\n"
        "from vllm.utils.argparse_utils import FlexibleArgumentParser\n"
        "for line in json.loads(sys.argv[1]):\n"
        "    args = make_arg_parser(FlexibleArgumentParser()).parse_args(line)\n"
        "    print(args.max_model_len, args.enable_prefix_caching, args.shutdown_timeout)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", parse, json.dumps(lines)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.splitlines()[-2:] == ["4608 True 60"] * 2
