"""Small jobs, one after the other, for hours: does any process grow?

    python tests/chaos/soak.py --minutes 120

Samples the resident memory and the open file handles of each process, and the keys and memory of
Redis, every 10 seconds. Fails if one of them grows steadily. Writes the samples and the table of
docs/reliability.md.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1]))

from chaos.pages import ROOT, machine, put_between
from chaos.stack import WORKERS, Stack, interrupt_once
from problem_files import problem_file

SAMPLE_EVERY_S = 10.0
POST_EVERY_S = 10.0
JOB_TIMEOUT_S = 120.0
KEPT_JOBS = 5
FILE = problem_file(10)
PROCESSES = ("api", *WORKERS, "redis")  # the model is a stub, which keeps all requests
# Caches fill first, and RQ keeps the records of ended shards for ten minutes.
WARM_UP_S = 720.0
WINDOWS = 4
SHORTEST_MINUTES = 20.0
# Growth from the first to the last window that counts, by the unit of a series.
SMALLEST_GROWTH = {"MiB": 3.0, "files": 4.0, "keys": 10.0}


class Series(NamedTuple):
    """One measured quantity over time: its name, unit and values."""

    name: str
    unit: str
    values: list[float]

    def windows(self) -> list[float]:
        """The medians of equal parts of the time after the warm-up."""
        steady = self.values[int(WARM_UP_S / SAMPLE_EVERY_S) :]
        size = len(steady) // WINDOWS
        return [statistics.median(steady[i * size : (i + 1) * size]) for i in range(WINDOWS)]

    def grows(self) -> bool:
        """True if each window is above the one before, and the whole is more than noise."""
        medians = self.windows()
        rises = all(later > earlier for earlier, later in itertools.pairwise(medians))
        return rises and medians[-1] - medians[0] > SMALLEST_GROWTH[self.unit]


def measure(stack: Stack) -> dict[str, tuple[str, float]]:
    """What is measured once: by name, its unit and value."""
    found = {}
    for name in PROCESSES:
        process = Path(f"/proc/{stack.child(name).process.pid}")
        pages = int((process / "statm").read_text().split()[1])
        found[f"{name}, memory"] = ("MiB", pages * os.sysconf("SC_PAGE_SIZE") / 2**20)
        found[f"{name}, open files"] = ("files", float(len(list((process / "fd").iterdir()))))
    found["Redis, keys"] = ("keys", float(stack.redis.dbsize()))
    used = stack.redis.info("memory")["used_memory"]
    found["Redis, data"] = ("MiB", used / 2**20)
    return found


def soak(stack: Stack, minutes: float, out: Path) -> tuple[list[Series], int]:
    """Post jobs until the time is over. Returns what was measured, and the number of jobs."""
    series: dict[str, Series] = {}
    jobs: list[str] = []
    until = time.monotonic() + 60 * minutes
    post_at = sample_at = time.monotonic()
    while time.monotonic() < until:
        if time.monotonic() >= post_at:
            post_at += POST_EVERY_S
            jobs.append(stack.post(FILE))
            stack.until(lambda: is_completed(stack, jobs[-1]), JOB_TIMEOUT_S)
            if len(jobs) > KEPT_JOBS:
                stack.delete(jobs[-KEPT_JOBS - 1])
        if time.monotonic() >= sample_at:
            sample_at += SAMPLE_EVERY_S
            for name, (unit, value) in measure(stack).items():
                series.setdefault(name, Series(name, unit, [])).values.append(value)
            out.write_text(json.dumps([one._asdict() for one in series.values()]))
        stack.tick()
    return list(series.values()), len(jobs)


def is_completed(stack: Stack, job_id: str) -> bool:
    job = stack.job(job_id)
    return job is not None and job["status"] == "completed"


def table(series: list[Series]) -> str:
    heads = ["what", "unit", *(f"part {n} of {WINDOWS}" for n in range(1, WINDOWS + 1)), "grows"]
    rows: list[list[Any]] = [
        [one.name, one.unit, *(f"{m:.1f}" for m in one.windows()), "yes" if one.grows() else "no"]
        for one in series
    ]
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--minutes", type=float, default=120)
    parser.add_argument("--out", type=Path, default=ROOT / "var" / "soak.json")
    chosen = parser.parse_args()
    if chosen.minutes < SHORTEST_MINUTES:
        parser.error(f"--minutes: at least {SHORTEST_MINUTES:g}, to see what grows after the start")
    interrupt_once()
    chosen.out.parent.mkdir(parents=True, exist_ok=True)
    measured_on = machine()  # now: the tree may change meanwhile
    folder = Path(tempfile.mkdtemp(prefix="quorum-soak-", dir="/tmp"))
    try:
        with Stack(folder / "stack", latency_s=0.05) as stack:
            series, jobs = soak(stack, chosen.minutes, chosen.out)
    finally:
        shutil.rmtree(folder)
    said = (
        f"{jobs} jobs of 20 questions in {chosen.minutes:g} minutes. "
        f"`python tests/chaos/soak.py --minutes {chosen.minutes:g}`, {measured_on}."
    )
    put_between(ROOT / "docs" / "reliability.md", "soak", f"{said}\n\n{table(series)}")
    print(table(series))
    return int(any(one.grows() for one in series))


if __name__ == "__main__":
    sys.exit(main())
