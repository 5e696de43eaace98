"""Measures what LoRA in merged weights changes: speed, memory, and what merging costs.

    .venv-model/bin/python -m bench.merged --recipe smollm2-135m.toml --steps 30
    .venv-model/bin/python -m bench.merged --recipe qwen2-7b-24gb.toml --shape qwen2-7b \
        --data ana.json --steps 8

Two sides take the same steps on the same rows from the same seed: "branch" computes the adapter
beside the base, as PEFT does, "merged" as the trainer does. Each runs in a process of its own.
Reported are tokens a second over all tokens, without the first two steps; the most memory that was
in use; every step's loss; and the validation loss before and after merging. The shape qwen2-7b has
random weights, made on the GPU, and the demo's tokens.
"""

from __future__ import annotations

import argparse
import json
import platform
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
from bench.train import DEMO, ROOT, load_random_7b, machine

from trainer.data.chat_templates import load_tokenizer
from trainer.data.preparing import prepare
from trainer.pipeline import render_all
from trainer.publishing.merging import finished_model
from trainer.recipe import load_recipe
from trainer.run import Run
from trainer.settings import Settings
from trainer.training import methods
from trainer.training.base_model import compute_dtype
from trainer.training.distributed import World, joined
from trainer.training.loop import TrainingData, train
from trainer.training.metrics import Metrics, peak_memory_gib, read_metrics
from trainer.training.reply_loss import ReplyLoss, precision
from trainer.training.validation import validate

SIDES = ("branch", "merged")
WARM_UP_STEPS = 2
HELD_OUT_ROWS = 32


def run_side(args: argparse.Namespace, world: World, folder: Path) -> dict[str, Any]:
    """Train, validate, merge in memory, and validate again."""
    if args.side == "branch":
        methods.why_not_merged = lambda _: "both are compared"  # type: ignore[attr-defined, assignment]
    base = DEMO if args.shape == "qwen2-7b" else args.base
    recipes = ROOT / "services" / "trainer" / "recipes"
    train_files = [args.data] if args.data else None
    recipe = load_recipe(recipes / args.recipe, train_files, str(base) if base else None)
    prepared = prepare(recipe)
    first = prepared.train[0]
    path = Path(prepared.recipe.base)
    tokenizer = load_tokenizer(path, prepared.recipe.format.messages(first.problem, first.question))
    rows, held_out, choices = render_all(prepared, tokenizer)
    changes = {"max_steps": args.steps, "validations": 1, "patience": None}
    training = recipe.training.model_copy(update=changes | {"checkpoint_every_s": 1e9})
    recipe = prepared.recipe.model_copy(update={"training": training})
    data = TrainingData(
        rows.rows,
        [example.weight for example in rows.examples],
        held_out.rows[:HELD_OUT_ROWS],
        choices[:HELD_OUT_ROWS],
    )
    if args.shape == "qwen2-7b":
        methods.load_base = load_random_7b  # type: ignore[attr-defined]  # as `methods` imports it
    run = Run(recipe, path, "", "", "", compute_dtype(recipe.training.dtype), folder)
    clock = _timed_steps()
    module = train(methods.prepare_model(recipe, path, run.dtype, world.device), data, run, world)
    found: dict[str, Any] = {
        "tokens_per_s": clock["tokens"] / clock["seconds"],
        "memory_gib": peak_memory_gib(world.device),
    }
    entries = read_metrics(folder / "metrics.jsonl")
    found["losses"] = [entry["loss"] for entry in entries[1:]]
    found["validation_loss"] = {"base": entries[0]["validation_loss"]}
    found["validation_loss"]["trained"] = entries[-1]["validation_loss"]
    merged = ReplyLoss(
        finished_model(module, run, world).merge_and_unload(), precision(run.dtype, world.device)
    )
    scores = validate(merged, data.held_out, data.choices, training, world)
    found["validation_loss"]["merged"] = scores["validation_loss"]
    return found


def _timed_steps() -> dict[str, float]:
    """Tokens and seconds of the steps after the warm-up, filled in while they are taken."""
    clock = {"tokens": 0.0, "seconds": 0.0, "last": 0.0}
    write = Metrics.step

    def timed(self: Metrics, step: int, *, tokens: int, **values: Any) -> None:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        now = time.monotonic()
        if step > WARM_UP_STEPS:
            clock["tokens"] += tokens
            clock["seconds"] += now - clock["last"] - values["validating_s"]
        write(self, step, tokens=tokens, **values)
        clock["last"] = time.monotonic()

    Metrics.step = timed  # type: ignore[method-assign]
    return clock


def measure(args: argparse.Namespace) -> dict[str, list[dict[str, Any]]]:
    runs: dict[str, list[dict[str, Any]]] = {side: [] for side in SIDES}
    for number in range(args.rounds):
        for side in SIDES[:: -1 if number % 2 else 1]:
            argv = [sys.executable, "-m", "bench.merged", *sys.argv[1:], "--side", side]
            child = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True)
            if child.returncode:
                sys.exit(child.stderr)
            runs[side].append(json.loads(child.stdout.splitlines()[-1]))
            brief = {k: v for k, v in runs[side][-1].items() if k != "losses"}
            print(f"round {number + 1}/{args.rounds}, {side}: {brief}", flush=True)
    return runs


def report(args: argparse.Namespace, runs: dict[str, list[dict[str, Any]]]) -> None:
    found = {
        "runs": runs,
        "machine": machine(),
        "python": platform.python_version(),
        "versions": {name: version(name) for name in ("torch", "transformers", "peft")},
        "date": datetime.now(UTC).date().isoformat(),
        "command": "python -m bench.merged " + " ".join(sys.argv[1:]),
    }
    args.out.mkdir(parents=True, exist_ok=True)
    path = args.out / f"merged-{args.shape}.json"
    path.write_text(json.dumps(found, indent=1) + "\n")
    print("| | tokens/s | GiB at most | loss of the last step | base | trained | merged |")
    for side, some in runs.items():
        speed, memory = (
            statistics.median(one[key] for one in some) for key in ("tokens_per_s", "memory_gib")
        )
        losses = " | ".join(f"{loss:.4f}" for loss in some[-1]["validation_loss"].values())
        last = some[-1]["losses"][-1]
        print(f"| {side} | {speed:,.0f} | {memory:.2f} | {last:.4f} | {losses} |")


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare LoRA in merged weights with a branch.")
    parser.add_argument("--recipe", default="smollm2-135m.toml")
    parser.add_argument("--base", type=Path, help="a folder, instead of the recipe's base")
    parser.add_argument("--data", type=Path, help="a file of rows, instead of the recipe's")
    parser.add_argument("--shape", choices=("recipe", "qwen2-7b"), default="recipe")
    parser.add_argument("--steps", type=int, default=30)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--out", type=Path, default=ROOT / "bench" / "results")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if not args.side:
        report(args, measure(args))
        return
    with joined(Settings()) as world, tempfile.TemporaryDirectory() as folder:
        print(json.dumps(run_side(args, world, Path(folder))))


if __name__ == "__main__":
    main()
