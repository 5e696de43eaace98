"""Measures the stack on this machine's GPUs with the demo's model.

    .venv/bin/python -m bench.gpu --only train,start,answer

STACK names the version set (cu12 by default). The parts, each in a server of its own where they
need one:

train: tokens/s of the demo's recipe on one card, and on two by torchrun if there are two.
start: seconds from `python -m inference` to a checked server, first with caches that hold nothing
    but the trainer's kernels, then with full ones.
answer: a job against a bare client that sends the same requests, as in bench/answer.py.
newer: the longest time without a server while a newer model is taken up, with the launcher's own
    share of memory, and with 0.9 of it, so that the new server must wait for the old one's end.
quantized: the same job in bf16, fp8 and int4: seconds, and accuracy paired with bf16's.
parallel: the same job on one card, on a copy a card, and on one copy over two cards.

With a model of Qwen2-7B's shape (bench/throughput.py), which takes 16 GB of --folder, and as much
again for the last part:

short: a job of replies of 30 tokens against a bare client, and how busy the card and the processes
    are.
long: the same for 1,328 questions with prompts of 500 and replies of 300 tokens.
sweep: a short and a long job with different settings of the server, a start of it for each.
deterministic: what DETERMINISTIC=true costs, and how many samples depend on the other requests.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.answer import compare, machine, run_job, service
from bench.gpu_stack import MODEL, ROOT, Gaps, GpuStack, Launcher, cards, problem_file
from bench.throughput import SIDES, Throughput

from orchestrator.jobs.intervals import compare as paired
from orchestrator.jobs.intervals import wilson
from orchestrator.jobs.reading import JobReader
from orchestrator.jobs.records import Answer

COPIES = 6  # of the demo's problems: about 1,800 questions
REPEAT = 2
CONCURRENCY = 256  # as the worker comes
BARE_CONCURRENCIES = (128, 256)
LOOP_QUESTIONS = 20
Result = dict[str, Any]


class Bench:
    """`keep` writes a part's figures before it has ended. `sides` names those of the sweep."""

    def __init__(self, folder: Path, stack: str, sides: list[str]) -> None:
        self.cards = cards()
        self.one = GpuStack(folder / "one", stack, {"CUDA_VISIBLE_DEVICES": "0"})
        self.both = GpuStack(folder / "both", stack, {"CUDA_VISIBLE_DEVICES": "0,1"})
        self.file = problem_file(folder / "problems.jsonl", COPIES)
        self._folder, self._jobs = folder, 0
        self._digests: list[str] = []
        self._sides_of_sweep = sides
        self.keep: Callable[[Result], None] = lambda found: None
        (folder / "7b").mkdir(exist_ok=True)
        self.throughput = Throughput(
            self.one, folder / "7b", lambda: self.one.models / MODEL / self.digests()[0]
        )

    @property
    def models(self) -> dict[str, str]:
        return {"MODELS_DIR": str(self.one.models)}

    def digests(self, count: int = 1) -> list[str]:
        """Models of the demo's recipe with different seeds. The first is current."""
        while len(self._digests) < count:
            seed = 42 + len(self._digests)
            recipe = self.one.recipe(MODEL, training=f"seed = {seed}")
            self.one.start_trainer(recipe, f"train-{seed}").finish()
            self._digests.append(self.one.published().name)
            if len(self._digests) > 1:
                self.one.publish(self._digests[0])
        return self._digests

    def train(self) -> Result:
        found: Result = {"one card": speed(self.one.models / MODEL / self.digests()[0])}
        if len(self.cards) > 1:
            recipe = self.both.recipe(MODEL)
            self.both.start_trainer(recipe, "train", processes=2).finish()
            found["two cards"] = speed(self.both.published())
        return found

    def start(self) -> Result:
        found: Result = {}
        for name in ("empty_caches_s", "full_caches_s"):
            with self._launcher(f"start-{name}") as launcher:
                found[name] = launcher.until_served()
        return found

    def answer(self) -> Result:
        with self._launcher("answer") as launcher:
            launcher.until_served()
            return compare(
                launcher.url,
                MODEL,
                "published",
                self.file,
                REPEAT,
                LOOP_QUESTIONS,
                CONCURRENCY,
                BARE_CONCURRENCIES,
                **self.models,
            )

    def newer(self) -> Result:
        first, second = self.digests(2)
        found: Result = {}
        for name, settings in (("launcher's share", {}), ("0.9 of the card", LARGE)):
            with self._launcher(f"newer-{len(found)}", **settings) as launcher:
                launcher.until_served(first)
                with Gaps(launcher) as gaps:
                    began = time.monotonic()
                    self.one.publish(second)
                    launcher.until_served(second)
                    taken_up_s = time.monotonic() - began
                self.one.publish(first)
            found[name] = {"longest_gap_s": gaps.longest_s, "taken_up_after_s": taken_up_s}
        return found

    def quantized(self) -> Result:
        return self._sides({"bf16": {}, "fp8": {"QUANTIZATION": "fp8"}, "int4": INT4})

    def sweep(self) -> Result:
        return self.throughput.sweep(self.keep, self._sides_of_sweep)

    def parallel(self) -> Result:
        both = {"CUDA_VISIBLE_DEVICES": "0,1"}
        return self._sides(
            {
                "one card": {},
                "a copy a card": both,
                "one copy over two cards": {**both, "TENSOR_PARALLEL_SIZE": "2"},
            }
        )

    def _launcher(self, log: str, **settings: str) -> Any:
        self.digests()
        return self.one.launcher(log, **settings)

    def _sides(self, sides: dict[str, dict[str, str]]) -> Result:
        """The same jobs with different settings of the launcher; the first is the base."""
        found: Result = {}
        base: list[bool] = []
        for name, settings in sides.items():
            with self._launcher(name.replace(" ", "-"), **settings) as launcher:
                launcher.until_served()
                seconds, right = self._jobs_of(launcher)
            base = base or right
            side: Result = {"job_s": seconds, "accuracy": wilson(sum(right), len(right))._asdict()}
            if right is not base:
                against = paired(base, right)
                side["accuracy_difference"] = against.difference._asdict()
                side["p_value"] = against.p_value
            found[name] = side
            say(f"  {name}: {seconds:.2f} s, accuracy {side['accuracy']['value']:.4f}")
        return {"questions": len(base), **found}

    def _jobs_of(self, launcher: Launcher) -> tuple[float, list[bool]]:
        """The median time of a job, and which questions it answered right."""
        self._jobs += 1
        state = self._folder / f"jobs-{self._jobs}"
        with service(launcher.url, MODEL, "published", state, **self.models) as (stack, _):
            seconds = [run_job(stack, self.file) for _ in range(REPEAT)]
        reader = JobReader(state / "data")
        file = reader.result(reader.ids()[0], "answers.jsonl")
        assert file is not None
        answers = [Answer.model_validate_json(line) for line in file.read_bytes().splitlines()]
        return statistics.median(seconds), [answer.right for answer in answers]


LARGE = {"GPU_MEMORY_UTILIZATION": "0.9"}
INT4 = {"QUANTIZATION": "int4"}
PARTS: dict[str, Callable[[Bench], Result]] = {
    "train": Bench.train,
    "start": Bench.start,
    "answer": Bench.answer,
    "newer": Bench.newer,
    "quantized": Bench.quantized,
    "parallel": Bench.parallel,
    "short": lambda bench: bench.throughput.short(),
    "long": lambda bench: bench.throughput.long(),
    "sweep": Bench.sweep,
    "deterministic": lambda bench: bench.throughput.deterministic(bench.keep),
}


def speed(published: Path) -> Result:
    """The median tokens/s over the steps, and the last losses, of a published model's training."""
    lines = (published / "metrics.jsonl").read_text().splitlines()
    entries: list[Result] = [json.loads(line) for line in lines]
    rates = [entry["tokens_per_s"] for entry in entries if "tokens_per_s" in entry]
    losses = [entry["validation_loss"] for entry in entries if "validation_loss" in entry]
    return {"tokens_per_s": statistics.median(rates), "validation_loss": losses[-1]}


def versions(stack: GpuStack) -> dict[str, str]:
    names = ("vllm", "torch", "transformers", "xgrammar", "bitsandbytes")
    program = (
        "import json, platform; from importlib.metadata import version\n"
        f"found = {{name: version(name) for name in {names}}}\n"
        "print(json.dumps(found | {'python': platform.python_version()}))"
    )
    argv = [stack.python("server"), "-c", program]
    printed = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
    found: dict[str, str] = json.loads(printed)
    return found


def driver() -> str:
    argv = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout.split()[0]


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default=",".join(PARTS), help="parts, separated by commas")
    parser.add_argument("--out", type=Path, default=ROOT / "bench/results")
    parser.add_argument(
        "--folder", type=Path, help="keeps models and caches for the next call; default: a new one"
    )
    parser.add_argument(
        "--sides", default="", help=f"of the sweep, separated by commas: {', '.join(SIDES)}"
    )
    args = parser.parse_args()
    wanted = args.only.split(",")
    here = cards()
    if not here:
        say("skipped: no GPU")
        return
    stack = os.environ.get("STACK", "cu12")
    slug = re.sub(r"[^a-z0-9]+", "-", here[0].lower().removeprefix("nvidia ")).strip("-")
    path = args.out / f"gpu-{slug}.json"
    found: Result = json.loads(path.read_text()) if path.exists() else {}
    with tempfile.TemporaryDirectory() as new_folder:
        folder = args.folder or Path(new_folder)
        folder.mkdir(parents=True, exist_ok=True)
        bench = Bench(folder.resolve(), stack, list(filter(None, args.sides.split(","))))
        about = {
            "cards": here,
            "driver": driver(),
            "machine": machine(),
            "versions": versions(bench.one),
            "date": datetime.now(UTC).date().isoformat(),
            "command": f"STACK={stack} python -m bench.gpu --only {args.only}",
        }
        for name in wanted:
            if name == "parallel" and len(here) < 2:
                say("parallel: skipped, needs two GPUs")
                continue
            say(name)
            began = time.monotonic()

            def keep(result: Result, name: str = name) -> None:
                found.setdefault(stack, {})[name] = {**about, **result}
                args.out.mkdir(parents=True, exist_ok=True)
                path.write_text(json.dumps(found, indent=2) + "\n")

            bench.keep = keep
            result = PARTS[name](bench)
            keep(result)
            say(f"  {json.dumps(result)}\n  took {time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
