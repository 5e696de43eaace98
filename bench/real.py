"""Measures a real small model: the base with its letter forced, fine-tuned, and by vote.

    .venv/bin/python -m bench.real --base var/smollm2 [--data FOLDER] [--stack cu12]

It has two parts. In each the base is trained by a recipe, served and asked, as `make demo` does it:

puzzles: the recipe smollm2-135m.toml and the English puzzles in examples/real, by family.

arlsat: questions of the law school admission test (AR-LSAT), which have keys and no analyses, so
labels alone are trained. FOLDER holds arlsat_train.json and arlsat_dev.json. They are converted to
problem files in a temporary folder; only figures are kept.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple, get_args

from bench.answer import machine, say

from contract import Contract, Problem, Stack, parse_problems, write_json
from orchestrator.cli.client import Client
from orchestrator.jobs.asked import all_asked
from orchestrator.jobs.intervals import compare, wilson
from orchestrator.jobs.reading import JobReader
from orchestrator.jobs.records import Answer
from orchestrator.jobs.recounting import answer_by
from orchestrator.jobs.vote import plurality
from orchestrator.local.choice import Choice
from orchestrator.local.ports import answers, free_port
from orchestrator.local.processes import Processes, StepError
from orchestrator.local.stack import LocalStack

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "examples/real"
START_S = 600.0
ARLSAT = """
name = "arlsat"
base = "."
train = ["train.jsonl"]

[data]
permuted_copies = 1

[format]
style = "answer"
system_prompt = 'Answer the question. Write one line: "The answer is: X".'
user_template = "{problem}\\n\\n{question}\\n{options}"
answer_line = "The answer is: {label}"

[sampling]
temperature = 0.7
max_tokens = 16

[lora]
r = 8
alpha = 32

[training]
learning_rate = 5e-4
batch_rows = 16
epochs = 2
warmup_steps = 10
schedule = "cosine"
max_length = 1024
pack_tokens = 4096
gradient_checkpointing = false
"""


class Part(NamedTuple):
    """A recipe in `folder`, whose files are those that it names, and the problems to ask."""

    name: str
    recipe: Path
    problems: Path


def problem_of(entry: dict[str, Any]) -> dict[str, Any]:
    """A row of a problem file from an entry of AR-LSAT: a passage and its questions."""
    questions = [
        {key: question[key] for key in ("question", "options", "answer")}
        for question in entry["questions"]
    ]
    return {"id": entry["id"], "problem": entry["passage"], "questions": questions}


def convert(source: Path, to: Path) -> Path:
    """AR-LSAT's file `source` as a problem file."""
    rows = [problem_of(entry) for entry in json.loads(source.read_bytes())]
    to.write_text("".join(write_json(row) + "\n" for row in rows), encoding="utf-8")
    return to


def parts(args: argparse.Namespace, folder: Path) -> list[Part]:
    """The parts to measure, with their recipes in `folder`: base, files and steps as asked."""
    found = []
    shipped = (ROOT / "services/trainer/recipes/smollm2-135m.toml").read_text(encoding="utf-8")
    texts = {"puzzles": shipped.replace("../../../examples/real/", f"{EXAMPLES}/")}
    problems = {"puzzles": EXAMPLES / "problems.jsonl"}
    if args.data:
        texts["arlsat"] = ARLSAT
        convert(args.data / "arlsat_train.json", folder / "train.jsonl")
        problems["arlsat"] = convert(args.data / "arlsat_dev.json", folder / "dev.jsonl")
    for name, text in texts.items():
        if args.parts and name not in args.parts.split(","):
            continue
        lines = [
            f'base = "{args.base.resolve()}"' if _is(line, "base") else line
            for line in text.splitlines()
        ]
        if args.steps:
            lines = [line for line in lines if not _is(line, "max_steps")]
            lines.insert(lines.index("[training]") + 1, f"max_steps = {args.steps}")
        recipe = folder / f"{name}.toml"
        recipe.write_text("\n".join(lines) + "\n", encoding="utf-8")
        found.append(Part(name, recipe, _first(problems[name], args.problems, folder / name)))
    return found


def _is(line: str, key: str) -> bool:
    return line.partition("=")[0].strip() == key


def _first(file: Path, count: int | None, folder: Path) -> Path:
    """`file`, or its first `count` problems."""
    if count is None:
        return file
    folder.mkdir()
    lines = file.read_text(encoding="utf-8").splitlines(keepends=True)
    (folder / file.name).write_text("".join(lines[:count]), encoding="utf-8")
    return folder / file.name


def measure(part: Part, stack: LocalStack, samples: int) -> dict[str, Any]:
    """Train, ask the base, serve, and answer a job with `samples` samples a question."""
    seconds: dict[str, float] = {}
    state = stack.state
    base_answers = state / "base.jsonl"
    name = stack.settings["MODEL_NAME"]
    with Processes(state / "logs") as processes:

        def step(what: str, *words: str) -> None:
            argv = [stack.python("trainer"), "-m", "trainer", *words]
            began = time.monotonic()
            processes.finish(processes.start(what, argv, stack.environment()))
            seconds[what] = time.monotonic() - began
            say(f"  {what}: {seconds[what]:.0f} s")

        recipe = ("--recipe", str(part.recipe))
        step("train", "run", *recipe)
        step(
            "baseline",
            "baseline",
            *recipe,
            "--file",
            str(part.problems),
            "--out",
            str(base_answers),
        )
        began = time.monotonic()
        server = stack.start_server(processes)
        stack.wait_for_server(processes, server, lambda: None)
        stack.start_service(processes)
        while not answers(f"{stack.api_url}/readyz"):
            processes.check()
            if time.monotonic() - began > START_S:
                log = state / "logs/inference.log"
                raise StepError("inference", f"not ready after {START_S:.0f} s", log)
        seconds["start"] = time.monotonic() - began
        began = time.monotonic()
        with Client(stack.api_url) as client:
            job = client.submit(part.problems, {"samples": samples})
            while job.status not in ("completed", "failed"):
                processes.check()
                time.sleep(0.5)
                job = client.show(job.id)
        seconds["answer"] = time.monotonic() - began
    if job.status != "completed":
        sys.exit(f"the job is {job.status}: {job.error}")
    lines = JobReader(state / "data").result(job.id, "answers.jsonl")
    assert lines is not None  # a completed job has its results
    found = [Answer.model_validate_json(line) for line in lines.read_bytes().splitlines()]
    asked = [json.loads(line)["answer"] for line in base_answers.read_bytes().splitlines()]
    contract = Contract.load(Path(stack.environment()["MODELS_DIR"]) / name / "current")
    return {
        "versions": contract.provenance.versions,
        "seconds": seconds,
        **figures(parse_problems(part.problems.read_bytes()), asked, found, samples),
    }


def figures(
    problems: Sequence[Problem], base: Sequence[str], found: Sequence[Answer], samples: int
) -> dict[str, Any]:
    """Accuracies with 95 % intervals, paired differences, and accuracies by family.

    A puzzle's id names its family: real_two_hop_00012.
    """
    asked = list(all_asked(list(problems)))
    keys = [one.question.answer for one in asked]
    sides = {
        "base": [answer == key for answer, key in zip(base, keys, strict=True)],
        "one": [answer_by(1, a, plurality) == key for a, key in zip(found, keys, strict=True)],
        "vote": [answer.right is True for answer in found],
    }
    families: dict[str, list[int]] = {}
    for place, one in enumerate(asked):
        families.setdefault("_".join(one.problem.id.split("_")[1:-1]), []).append(place)
    return {
        "questions": len(keys),
        "chance": sum(1 / len(one.question.options) for one in asked) / len(asked),
        "samples": samples,
        "right": {name: wilson(sum(side), len(side)) for name, side in sides.items()},
        "differences": {
            f"{other} - {name}": compare(sides[name], sides[other])
            for name, other in (("base", "one"), ("base", "vote"), ("one", "vote"))
        },
        "families": {
            family: {"questions": len(places)}
            | {name: sum(side[i] for i in places) / len(places) for name, side in sides.items()}
            for family, places in families.items()
            if problems[0].id.startswith("real_")
        },
    }


def card() -> str:
    """The GPU and its driver; without one, the CPU."""
    query = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return str(machine())
    return done.stdout.strip()


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure a real small model.")
    parser.add_argument("--base", type=Path, default=ROOT / "var/smollm2")
    parser.add_argument("--data", type=Path, help="a folder with AR-LSAT's files")
    parser.add_argument("--out", type=Path, default=ROOT / "bench/results")
    parser.add_argument("--parts", help="puzzles or arlsat; all by default")
    parser.add_argument("--stack", default="cpu", choices=get_args(Stack))
    parser.add_argument("--samples", type=int, default=3)
    parser.add_argument("--steps", type=int, help="train this many steps, to try it out")
    parser.add_argument("--problems", type=int, help="ask only so many problems, to try it out")
    args = parser.parse_args()
    path = args.out / "real.json"
    results: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    with tempfile.TemporaryDirectory() as name:
        for part in parts(args, Path(name)):
            say(part.name)
            state = Path(name) / f"state-{part.name}"
            state.mkdir()
            model = "arlsat" if part.name == "arlsat" else "quorum-smollm2"
            settings = {
                "MODEL_NAME": model,
                "MODELS_DIR": str(state / "models"),
                "RUNS_DIR": str(state / "runs"),
            }
            choice = Choice(args.stack, "--stack asks for it")
            stack = LocalStack(ROOT, state, settings, api_port=free_port(), choice=choice)
            try:
                found = measure(part, stack, args.samples)
            except StepError as error:
                sys.exit(f"{error.step} failed: {error.reason}\n{error.log_tail()}")
            results[part.name] = {
                "machine": card(),
                "date": datetime.now(UTC).date().isoformat(),
                "command": "python -m bench.real " + " ".join(sys.argv[1:]),
                **found,
            }
            args.out.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(results, indent=1) + "\n")
            say(json.dumps(results[part.name], indent=1))


if __name__ == "__main__":
    main()
