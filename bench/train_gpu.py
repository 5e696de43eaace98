"""Measures variants of the training step on one GPU, with a model of Qwen2.5-7B's shape.

    .venv-cu12-trainer/bin/python -m bench.train_gpu --variants 'merged;compiled' --parts
    .venv-model/bin/python -m bench.train_gpu --shape tiny --variants compiled --out /tmp/tiny

The weights are random and are made on the GPU. Each variant trains the same rows for a few steps;
the first steps warm up. The results are written after each variant. A variant that fails is
recorded with its error, and the next one follows. `long` rows have 4,096 tokens, all of them
trained, as in the published figures of others. `short` rows have the lengths of the competition's
instruction rows (log-normal, median 977 tokens; 43 % of them are the reply's, and trained).

The model FLOPs of a token, without recomputation: 4 for each frozen weight of layers and head (the
head only for trained tokens; two products, forward and for the gradient), 6 for each of LoRA's
weights, and 6 * row length * width * layers for causal attention (half of the square; the gradient
counts twice). MFU is their rate over 989 TFLOP/s, an H100's bfloat16 peak without sparsity.
"""

from __future__ import annotations

import argparse
import gc
import json
import math
import random
import tempfile
import time
import traceback
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from bench.gpu_parts import CUDA, DEVICE, parts, wait
from bench.train import QWEN2_7B
from torch._dynamo.utils import counters
from transformers import AutoModelForCausalLM, Qwen2Config

from bench import speedups
from trainer.data.rendering import Row
from trainer.recipe import DataFile, Lora, Recipe, Training
from trainer.run import Run
from trainer.training import compiling, methods
from trainer.training.attention import PACKED
from trainer.training.distributed import World
from trainer.training.state import TrainingState
from trainer.training.step import take_step

PEAK_FLOPS = 989e12
TINY = QWEN2_7B | {
    "vocab_size": 512,
    "hidden_size": 64,
    "intermediate_size": 160,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}
SHAPES = {"qwen2-7b": QWEN2_7B, "tiny": TINY}


@dataclass(frozen=True)
class Variant:
    """`lora`: "branch" beside the base, as PEFT computes it; "merged", the trainer's; or "fp8", a
    branch beside frozen weights in fp8. `cudnn`: its attention, for `rows` of one length alone.
    """

    rows: str = "long"
    rank: int = 16
    lora: str = "merged"
    recompute: bool = False
    compiled: bool = False
    cudnn: bool = False


_24gb = Variant(rows="short", rank=8, recompute=True)
# those that say most come first, because a measurement may be cut off
VARIANTS = {
    "branch": Variant(lora="branch"),
    "merged": Variant(),
    "compiled": Variant(compiled=True),
    "compiled, recomputing": Variant(compiled=True, recompute=True),
    "merged, recomputing": Variant(recompute=True),
    "fp8": Variant(lora="fp8", compiled=True),
    "compiled, cudnn": Variant(compiled=True, cudnn=True),
    "merged, cudnn": Variant(cudnn=True),
    "branch, recomputing": Variant(lora="branch", recompute=True),
    # the recipe for 24 GB: rank 8, short rows
    "24: compiled": replace(_24gb, compiled=True),
    "24: merged": _24gb,
    "24: branch": replace(_24gb, lora="branch"),
}
PACK_TOKENS = 8192


def make_rows(kind: str, shape: dict[str, Any], count: int) -> list[Row]:
    """`count` rows of random tokens. For the tiny shape they are 64 times shorter."""
    rng = random.Random(0)
    shrink = 64 if shape is TINY else 1
    rows = []
    for _ in range(count):
        length, prompt = 4096 // shrink, 1
        if kind == "short":
            length = min(2048, max(421, round(rng.lognormvariate(math.log(977), 0.39))))
            length //= shrink
            prompt = round(0.57 * length)
        ids = [rng.randrange(shape["vocab_size"]) for _ in range(length)]
        rows.append(Row(ids[:prompt], ids[prompt:]))
    return rows


def make_model(shape: dict[str, Any], variant: Variant, recipe: Recipe) -> Any:
    """The trainer's model for `recipe`, of random weights, changed as `variant` says."""

    def random_base(*_: Any, **__: Any) -> Any:
        torch.manual_seed(0)
        torch.set_default_dtype(torch.bfloat16)
        with DEVICE:
            model = AutoModelForCausalLM.from_config(
                Qwen2Config(**shape),
                attn_implementation="cudnn_equal_rows" if variant.cudnn else PACKED,
            )
        torch.set_default_dtype(torch.float32)
        return model

    why_not_merged = methods.why_not_merged  # type: ignore[attr-defined]
    methods.load_base = random_base  # type: ignore[attr-defined] # as `methods` imports it
    if variant.lora != "merged":
        methods.why_not_merged = lambda settings: "it is measured"  # type: ignore[attr-defined]
    try:
        model = methods.prepare_model(recipe, Path(), "bfloat16", DEVICE)
    finally:
        methods.why_not_merged = why_not_merged  # type: ignore[attr-defined]
    if variant.lora == "fp8":
        speedups.use_fp8(model)
    return model


def measure(
    variant: Variant, shape: dict[str, Any], steps: int, warm_up: int, profiled: bool
) -> dict[str, Any]:
    """Speed, memory and losses of `steps` steps after `warm_up` steps."""
    shrink = 64 if shape is TINY else 1
    batch = 4 if variant.rows == "long" else 16
    rows = make_rows(variant.rows, shape, batch * (steps + warm_up + 1))
    recipe = Recipe(
        name="speed",
        base=".",
        train=(DataFile(file="-"),),
        lora=Lora(r=variant.rank, alpha=2 * variant.rank),
        training=Training(
            learning_rate=1e-4,
            batch_rows=batch,
            max_length=PACK_TOKENS // shrink,
            pack_tokens=PACK_TOKENS // shrink,
            gradient_checkpointing=variant.recompute,
            compile=variant.compiled,
        ),
    )
    found: dict[str, Any] = {"variant": asdict(variant)}
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        model = make_model(shape, variant, recipe)
        run = Run(recipe, Path(), "", "", "", "bfloat16", Path(folder))
        state = TrainingState(model, run, World(0, 1, DEVICE))
    if variant.compiled and variant.cudnn:
        speedups.compile_for_one_length(state.module)
    elif variant.compiled and not compiling.compile_layers(state.module, recipe.training, DEVICE):
        raise RuntimeError("its layers were not compiled: the log says why")
    wait()
    found["made_s"] = time.monotonic() - began
    found["held_gib"] = gib(held())
    seconds, taken = [], []
    graphs = 0
    for number in range(warm_up + steps):
        if number == warm_up:
            graphs = counters["stats"]["unique_graphs"]
        began = time.monotonic()
        taken.append(take_step(state, rows[number * batch : (number + 1) * batch], 1.0))
        wait()
        seconds.append(time.monotonic() - began)
        found["step_s"] = seconds
    timed = rows[warm_up * batch : (warm_up + steps) * batch]
    spent = sum(seconds[warm_up:])
    tokens, replies = sum(map(len, timed)), sum(len(row.reply) for row in timed)
    found |= {
        "tokens_per_s": tokens / spent,
        "reply_tokens_per_s": replies / spent,
        "mfu": flops(model, shape, timed) / spent / PEAK_FLOPS,
        "peak_gib": gib(torch.cuda.max_memory_allocated() if CUDA else 0),
        "reserved_gib": gib(torch.cuda.max_memory_reserved() if CUDA else 0),
        "losses": [one.loss for one in taken],
        "gradient_norms": [one.gradient_norm for one in taken],
        "warm_up_s": sum(seconds[:warm_up]),
        "graphs": counters["stats"]["unique_graphs"],
        "graphs_after_warm_up": counters["stats"]["unique_graphs"] - graphs,
    }
    if profiled and CUDA:
        try:
            found["profile"] = profile(state, rows[-batch:])
        except Exception as error:  # noqa: BLE001 # the speed is known all the same
            found["profile"] = str(error)
    return found


def flops(model: Any, shape: dict[str, Any], rows: list[Row]) -> float:
    """The model FLOPs of training `rows` once; this module's docstring has the formula."""
    width, layers = shape["hidden_size"], shape["num_hidden_layers"]
    kv = width // shape["num_attention_heads"] * shape["num_key_value_heads"]
    frozen = layers * width * (2 * width + 2 * kv + 3 * shape["intermediate_size"])
    adapter = sum(p.numel() for p in model.parameters() if p.requires_grad)
    tokens = sum(map(len, rows))
    head = width * shape["vocab_size"] * sum(len(row.reply) for row in rows)
    attention = 6 * width * layers * sum(len(row) ** 2 for row in rows)
    found: float = 4 * (frozen * tokens + head) + 6 * adapter * tokens + attention
    return found


def profile(state: TrainingState, rows: list[Row]) -> list[list[Any]]:
    """The kernels of one step: name, calls, milliseconds; those that take longest first."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profiler:
        take_step(state, rows, 1.0)
        wait()
    kernels = [[e.key[:110], e.count, e.device_time_total / 1e3] for e in profiler.key_averages()]
    return sorted(kernels, key=lambda kernel: -float(kernel[2]))[:40]


def held() -> int:
    return torch.cuda.memory_allocated() if CUDA else 0


def gib(size_bytes: int) -> float:
    return size_bytes / 2**30


def clear() -> None:
    torch._dynamo.reset()
    counters.clear()
    gc.collect()
    if CUDA:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure variants of the training step.")
    parser.add_argument("--shape", choices=sorted(SHAPES), default="qwen2-7b")
    parser.add_argument("--variants", help="names, with ; between them (default: all)")
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--warm-up", type=int, default=3)
    parser.add_argument("--profile", default="", help="names of variants to profile, as above")
    parser.add_argument("--parts", action="store_true", help="products and attentions alone first")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    args = parser.parse_args()
    names = args.variants.split(";") if args.variants else list(VARIANTS)
    if unknown := [name for name in names if name not in VARIANTS]:
        parser.error(f"no variant {', '.join(unknown)}: there are {'; '.join(VARIANTS)}")
    shape = SHAPES[args.shape]
    if not CUDA:  # where TorchInductor compiles C++, for minutes
        compiling.COMPILER = "aot_eager"
        compiling.why_not_compiled = lambda device: None
    args.out.mkdir(parents=True, exist_ok=True)
    path = args.out / f"train-steps-{args.shape}.json"
    found: dict[str, Any] = {
        "machine": torch.cuda.get_device_name() if CUDA else "CPU",
        "versions": {name: version(name) for name in ("torch", "transformers", "peft")},
        "date": datetime.now(UTC).date().isoformat(),
        "variants": {},
    }
    if args.parts:
        found["parts_tflops"] = parts(shape)
        clear()
    for name in names:
        try:
            result = measure(
                VARIANTS[name], shape, args.steps, args.warm_up, name in args.profile.split(";")
            )
            line = (
                f"{result['tokens_per_s']:8,.0f} tokens/s, MFU {result['mfu']:.3f}, "
                f"{result['peak_gib']:5.1f} GiB, loss {result['losses'][-1]:.4f}, "
                f"warm-up {result['warm_up_s']:.0f} s, graphs {result['graphs']} + "
                f"{result['graphs_after_warm_up']}"
            )
        except Exception as error:  # noqa: BLE001 # recorded; the next variant may work
            result = {"error": str(error), "trace": traceback.format_exc()}
            line = f"{type(error).__name__}: {str(error)[:300]}"
        found["variants"][name] = result
        path.write_text(json.dumps(found, indent=1) + "\n")
        print(f"{name:30} {line}", flush=True)
        result = {}
        clear()


if __name__ == "__main__":
    main()
