"""Measures training speed: our recipe against the published baseline's, on the same rows.

    .venv-model/bin/python bench/train.py --data ana.json --out bench/results

The baseline does what its notebook does: transformers' Trainer with PEFT on a bfloat16 base, one
row at a time, four rows a step, gradient checkpointing, no packing, and no autocast, so the adapter
computes in fp32. A second baseline turns autocast on. Each side runs in its own process, several
times in turn; medians are reported. Speed is counted in reply tokens, because only these are
trained.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    Qwen2Config,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

from contract import PromptFormat
from trainer.data.examples import load_examples
from trainer.data.packing import Order
from trainer.data.rendering import Row, render
from trainer.plots import BLUE, GREY, figure, save
from trainer.recipe import DataFile, Recipe
from trainer.training.attention import PACKED

ROOT = Path(__file__).parents[1]
DEMO = ROOT / "examples" / "demo" / "base"
WARM_UP_ROWS = 16
QWEN2_7B = {
    "vocab_size": 152064,
    "hidden_size": 3584,
    "intermediate_size": 18944,
    "num_hidden_layers": 28,
    "num_attention_heads": 28,
    "num_key_value_heads": 4,
    "max_position_embeddings": 32768,
    "rope_theta": 1_000_000.0,
}
SIDES = ("baseline", "baseline, autocast", "ours, recomputing", "ours")


def load_rows(data: Path, count: int) -> list[Row]:
    """Rows of `data` for the demo's tokenizer, none cut."""
    fmt = PromptFormat()
    examples = load_examples([DataFile(file=str(data))], fmt).rows
    rows = render(examples, fmt, AutoTokenizer.from_pretrained(DEMO), 1_000_000).rows
    wanted = min(count + WARM_UP_ROWS, len(rows))
    return [rows[i * len(rows) // wanted] for i in range(wanted)]  # spread over the file


def run_baseline(rows: list[Row], args: argparse.Namespace) -> dict[str, float]:
    from peft import LoraConfig, get_peft_model

    load = load_random_7b if args.shape == "qwen2-7b" else AutoModelForCausalLM.from_pretrained
    model: Any = load(DEMO, dtype=torch.bfloat16, attn_implementation="sdpa")
    # planning for every new length would slow it further on a Hopper card; ours does without too
    torch.backends.cuda.enable_cudnn_sdp(False)
    model.enable_input_require_grads()
    targets = Recipe.model_fields["lora"].default.targets
    lora = LoraConfig(
        r=8, lora_alpha=32, lora_dropout=0.1, target_modules=list(targets), task_type="CAUSAL_LM"
    )
    model = get_peft_model(model, lora)
    clock: dict[str, float] = {}

    class Clock(TrainerCallback):  # type: ignore[misc] # its hints are not read
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            _wait()
            if state.global_step == WARM_UP_ROWS // 4:
                clock["start"] = time.monotonic()
            clock["end"] = time.monotonic()

    def collate(batch: list[Row]) -> dict[str, torch.Tensor]:
        (row,) = batch
        ids = torch.tensor([row.prompt + row.reply])
        labels = torch.tensor([[-100] * len(row.prompt) + row.reply])
        return {"input_ids": ids, "labels": labels, "attention_mask": torch.ones_like(ids)}

    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder,
            per_device_train_batch_size=1,
            gradient_accumulation_steps=4,
            gradient_checkpointing=True,
            gradient_checkpointing_kwargs={"use_reentrant": False},
            learning_rate=1e-4,
            num_train_epochs=1,
            bf16=args.side == "baseline, autocast",
            use_cpu=not torch.cuda.is_available(),
            logging_steps=10,
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
            remove_unused_columns=False,
        )
        Trainer(
            model=model,
            args=arguments,
            train_dataset=rows,
            data_collator=collate,
            callbacks=[Clock()],
        ).train()
    # the sampler takes each row once; which came first, and were warm-up, is close to the mean
    timed = len(rows) - WARM_UP_ROWS
    replies = sum(len(row.reply) for row in rows) / len(rows) * timed
    tokens = sum(len(row) for row in rows) / len(rows) * timed
    return _rates(replies, tokens, clock["end"] - clock["start"])


def run_ours(rows: list[Row], args: argparse.Namespace) -> dict[str, float]:
    from trainer.run import Run
    from trainer.settings import Settings
    from trainer.training import methods
    from trainer.training.distributed import joined
    from trainer.training.loop import TrainingData, train
    from trainer.training.metrics import Metrics

    recipe = Recipe.load(ROOT / "services" / "trainer" / "recipes" / args.recipe)
    longest = max(len(row) for row in rows)
    changes = {
        "epochs": 1,
        "max_length": longest,
        "pack_tokens": max(args.pack_tokens, longest),
        "gradient_checkpointing": args.side == "ours, recomputing",
        "patience": None,
        "checkpoint_every_s": 1e9,
    }
    training = recipe.training.model_copy(update=changes)
    recipe = recipe.model_copy(update={"training": training})
    warm_up = WARM_UP_ROWS // training.batch_rows
    clock: dict[str, float] = {}
    write = Metrics.step

    def timed(self: Metrics, step: int, **values: Any) -> None:
        _wait()
        if step == warm_up:
            clock["start"] = time.monotonic()
        clock["end"] = time.monotonic()
        write(self, step, **values)

    Metrics.step = timed  # type: ignore[method-assign]
    with joined(Settings()) as world, tempfile.TemporaryDirectory() as folder:
        if args.shape == "qwen2-7b":
            methods.load_base = load_random_7b  # type: ignore[attr-defined]  # as `methods` imports it
        run = Run(recipe, DEMO, "", "", "", "bfloat16", Path(folder))
        model = methods.prepare_model(recipe, run.base, run.dtype, world.device)
        data = TrainingData(rows, [1.0] * len(rows), [], [])
        train(model, data, run, world)
    order = Order([1.0] * len(rows), training.seed).rows(0, len(rows))
    taken = [rows[i] for i in order[warm_up * training.batch_rows :]]
    return _rates(
        sum(len(row.reply) for row in taken),
        sum(len(row) for row in taken),
        clock["end"] - clock["start"],
    )


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def _rates(replies: float, tokens: float, seconds: float) -> dict[str, float]:
    memory = (
        torch.cuda.max_memory_allocated() / 2**30
        if torch.cuda.is_available()
        else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    )
    rates = {"reply_tokens_per_s": replies / seconds, "tokens_per_s": tokens / seconds}
    return rates | {"seconds": seconds, "memory_gib": memory}


def matrix_rate() -> float:
    """FLOP/s of a bf16 product of two matrices of 8,192 x 8,192 on the GPU."""
    a, b = (torch.randn(8192, 8192, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    for _ in range(5):
        a @ b
    _wait()
    started = time.monotonic()
    for _ in range(50):
        a @ b
    _wait()
    return 50 * 2 * 8192**3 / (time.monotonic() - started)


def load_random_7b(*_: Any, **options: Any) -> Any:
    """A Qwen2-7B-shaped model of random weights, made on the GPU: 15 GB written and read for every
    run would take longer than the run.
    """
    torch.manual_seed(0)
    torch.set_default_dtype(torch.bfloat16)
    with torch.device("cuda"):
        attention = options.get("attn_implementation", PACKED)
        config = Qwen2Config(**QWEN2_7B)
        model = AutoModelForCausalLM.from_config(config, attn_implementation=attention)
    torch.set_default_dtype(torch.float32)
    return model


def machine() -> str:
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    name = next((line.split(": ")[1] for line in lines if line.startswith("model name")), "CPU")
    return f"{name}, {len([line for line in lines if line.startswith('processor')])} cores"


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Every side `args.rounds` times, in turn, each in a process of its own."""
    runs: dict[str, list[dict[str, float]]] = {side: [] for side in SIDES}
    for number in range(args.rounds):
        for side in SIDES:
            argv = [sys.executable, __file__, "--side", side]
            for name in ("data", "rows", "pack_tokens", "recipe", "shape"):
                argv += ["--" + name.replace("_", "-"), str(getattr(args, name))]
            child = subprocess.run(argv, capture_output=True, text=True)
            if child.returncode:
                sys.exit(child.stderr)
            runs[side].append(json.loads(child.stdout.splitlines()[-1]))
            print(f"round {number + 1}/{args.rounds}, {side}: {runs[side][-1]}", flush=True)
    medians = {
        side: {key: statistics.median(run[key] for run in some) for key in some[0]}
        for side, some in runs.items()
    }
    return {"runs": runs, "medians": medians}


def report(args: argparse.Namespace, found: dict[str, Any]) -> None:
    args.out.mkdir(parents=True, exist_ok=True)
    found |= {
        "machine": machine(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in ("torch", "transformers", "peft")},
        "date": datetime.now(UTC).date().isoformat(),
        "command": "bench/train.py " + " ".join(sys.argv[1:]),
        "recipe": args.recipe,
        "rows": args.rows,
        "pack_tokens": args.pack_tokens,
    }
    name = f"train-{args.shape}"
    (args.out / f"{name}.json").write_text(json.dumps(found, indent=1) + "\n")
    draw(found["medians"], args.out / f"{name}.png")
    medians = found["medians"]
    base = medians["baseline"]
    for side in SIDES:
        speed = medians[side]["reply_tokens_per_s"]
        memory = medians[side]["memory_gib"]
        ratio = speed / base["reply_tokens_per_s"]
        print(f"| {side} | {speed:,.0f} | {ratio:.2f} | {memory:.2f} |")


def draw(medians: dict[str, dict[str, float]], path: Path) -> None:
    drawing, axes = figure(2)
    for axis, key, title in zip(
        axes,
        ("reply_tokens_per_s", "memory_gib"),
        ("Reply tokens a second", "GiB at most"),
        strict=True,
    ):
        values = [medians[side][key] for side in SIDES]
        names = [side.replace(", ", ",\n") for side in SIDES]
        bars = axis.bar(names, values, color=[GREY, GREY, BLUE, BLUE])
        axis.bar_label(bars, [f"{v:,.0f}" if v > 100 else f"{v:.2f}" for v in values])
        axis.set(title=title)
    save(drawing, path)


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Measure training speed against the baseline's recipe."
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=ROOT / "bench" / "results")
    parser.add_argument("--shape", choices=("demo", "qwen2-7b"), default="demo")
    parser.add_argument("--rows", type=int, default=96)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--pack-tokens", type=int, default=2048)
    parser.add_argument("--recipe", default="qwen2-7b-24gb.toml")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.side:
        run = run_baseline if args.side.startswith("baseline") else run_ours
        print(json.dumps(run(load_rows(args.data, args.rows), args)))
        return
    found: dict[str, Any] = {}
    if torch.cuda.is_available():
        found["matrix_flops"] = matrix_rate()
        torch.cuda.empty_cache()
    found |= measure(args)
    if torch.cuda.is_available():
        parameters = 7_070_000_000  # of the layers and the head; the embedding is a look-up
        for side, flops in (("ours", 4), ("ours, recomputing", 6)):
            # frozen weights need no gradient: two products forward, two back, two more recomputed
            done = flops * parameters * found["medians"][side]["tokens_per_s"]
            found["medians"][side]["share_of_matrix_rate"] = done / found["matrix_flops"]
    report(args, found)


if __name__ == "__main__":
    main()
