"""Breaks everything on purpose, by the hundred, from seeds, and compares with an undisturbed run.

    python tests/chaos/driver.py                    250 runs with one fault, 100 with two
    python tests/chaos/driver.py --seed 17          one of them again
    python tests/chaos/driver.py --seed 17 --pair   the same of those with two faults

Writes what came of each run to var/chaos.json, the table of docs/reliability.md if every run was
asked for, and the logs and job directories of failed runs to var/chaos-failures.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from dataclasses import asdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from chaos.lanes import Wanted, run_all
from chaos.pages import ROOT, machine, put_between
from chaos.runs import Outcome
from chaos.stack import interrupt_once
from chaos.table import summary, table

RUNS = 250
PAIRS = 100


def main() -> int:
    interrupt_once()
    chosen = _chosen()
    first = chosen.first
    if chosen.seed is not None:
        wanted = [Wanted(chosen.seed, chosen.pair)]
    else:
        wanted = [Wanted(seed, pair=False) for seed in range(first, first + chosen.runs)]
        wanted += [Wanted(seed, pair=True) for seed in range(first, first + chosen.pairs)]
    lanes = min(chosen.lanes, len(wanted))
    console = Console()
    began, measured_on = time.monotonic(), machine()
    outcomes: list[Outcome] = []
    failures = chosen.out.with_name(f"{chosen.out.stem}-failures")
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    with _progress(console) as progress:
        bar = progress.add_task("runs", total=len(wanted))
        for one, outcome in run_all(wanted, lanes, failures):
            outcomes.append(outcome)
            chosen.out.write_text(
                json.dumps([asdict(o) | {"outcome": o.outcome} for o in outcomes])
            )
            progress.advance(bar)
            if outcome.complaints:
                progress.console.print(_line(one, outcome), markup=False, soft_wrap=True)
    minutes = (time.monotonic() - began) / 60
    said = (
        f"{summary(outcomes)} {minutes:.0f} minutes with {lanes} stacks side by side, load "
        f"average {os.getloadavg()[2]:.0f}. {measured_on}."
    )
    text = f"{said}\n\n{table(outcomes)}"
    console.print(text, markup=False, soft_wrap=True)
    if chosen.page:
        command = f"`python tests/chaos/driver.py {' '.join(sys.argv[1:])}`".replace(" `", "`")
        put_between(ROOT / "docs" / "reliability.md", "chaos", f"{command}: {text}")
    return int(any(outcome.complaints for outcome in outcomes))


def _chosen() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=RUNS, help="runs with one fault")
    parser.add_argument("--pairs", type=int, default=PAIRS, help="runs with two faults")
    parser.add_argument("--first", type=int, default=0, help="the first seed of those runs")
    parser.add_argument("--seed", type=int, help="do one run alone: the one of this seed")
    parser.add_argument("--pair", action="store_true", help="of --seed, the run with two faults")
    lanes = 2 * (os.cpu_count() or 1)
    parser.add_argument("--lanes", type=int, default=lanes, help="stacks side by side")
    parser.add_argument("--out", type=Path, default=ROOT / "var" / "chaos.json")
    parser.add_argument("--page", action="store_true", help="write docs/reliability.md's table")
    return parser.parse_args()


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
    )


def _line(one: Wanted, outcome: Outcome) -> str:
    faults = " and ".join(outcome.faults)
    again = f"--seed {one.seed}{' --pair' if one.pair else ''}"
    return f"{again} ({faults}): {'; '.join(outcome.complaints)}"


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
