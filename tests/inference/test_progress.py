"""The stage that a starting server has reached."""

import pytest

from inference.progress import stage

LOADING = (
    b"INFO 11-26 12:00:01 [gpu_model_runner.py:4481] Starting to load model /cache/0/m...\n"
    b"\rLoading safetensors checkpoint shards:   0% Completed | 0/4 [00:00<?, ?it/s]\n"
    b"\rLoading safetensors checkpoint shards:  75% Completed | 3/4 [00:03<00:01,  1.0s/it]\n"
)
COMPILING = (
    b"INFO [default_loader.py:384] Loading weights took 4.16 seconds\n"
    b"INFO [backends.py:1051] Dynamo bytecode transform time: 5.52 s\n"
)
CAPTURING = (
    b"\rCapturing CUDA graphs (mixed prefill-decode, PIECEWISE):   0%|          | 0/51"
    b"\rCapturing CUDA graphs (mixed prefill-decode, PIECEWISE):  45%|####      | 23/51"
)
OPENING = b"INFO [core.py:281] init engine (profile, create kv cache, warmup model) took 20.15 s\n"


@pytest.mark.parametrize(
    ("output", "reached"),
    [
        (b"", "importing its libraries"),
        (b"INFO Starting vLLM API server", "importing its libraries"),
        (LOADING, "loading the weights (75 %)"),
        (LOADING + COMPILING, "compiling"),
        (LOADING + COMPILING + CAPTURING, "capturing CUDA graphs (45 %)"),
        (LOADING + COMPILING + CAPTURING + OPENING, "opening its API"),
        (b"Capturing cudagraph shapes:  20%|##  | 7/35", "capturing CUDA graphs (20 %)"),
    ],
)
def test_the_last_stage_in_the_output_is_named(output: bytes, reached: str) -> None:
    assert stage(output) == reached
