"""Draw the results of bench/job_profile.py, a picture for each.

.venv-model/bin/python bench/draw_profile.py
"""

from __future__ import annotations

import json
from itertools import accumulate
from pathlib import Path
from typing import Any

from trainer.plots import BLUE, GREEN, GREY, ORANGE, figure, save

RESULTS = Path(__file__).parent / "results"
SEVERAL = (BLUE, ORANGE, GREEN, GREY, "#7b5ea7", "#c25b6e", "#5fa8b8", "#b8a05f")
SMALLEST = 0.005  # of a bar, to be shown


def stack(axis: Any, bars: dict[str, dict[str, float]]) -> None:
    """Bars of parts that lie on one another. The legend holds every part, from the top down."""
    for place, parts in enumerate(bars.values()):
        total = sum(parts.values())
        shown = {name: n for name, n in parts.items() if n >= SMALLEST * total}
        for number, (name, n) in enumerate(shown.items()):
            below = sum(list(shown.values())[:number])
            colour = SEVERAL[number % len(SEVERAL)]
            axis.bar(place, n, bottom=below, color=colour, label=f"{name}: {n:.2f}", width=0.5)
    axis.set_xticks(range(len(bars)), bars)
    axis.set_xlim(-0.4, len(bars) + 0.9)
    axis.legend(reverse=True, fontsize=7, frameon=False, loc="center right")


def draw(found: dict[str, Any], path: Path) -> None:
    drawing, (processes, worker, timeline) = figure(3)
    cores = found["load"]["cores"]
    stack(processes, {"cores": dict(sorted(cores.items(), key=lambda item: -item[1]))})
    processes.set_title(f"cores in use, {found['questions']:,} questions in {found['job_s']} s")
    if main := found["worker"].get("main"):
        stack(worker, {"worker": main})
    worker.set_title("share of the worker's time")
    phases: dict[str, float] = found["timeline"]["phases_s"]
    begins = [0.0, *accumulate(phases.values())]
    names = [f"{name}\n{seconds:.3f} s" for name, seconds in phases.items()]
    timeline.barh(names, phases.values(), left=begins[:-1], color=BLUE, height=0.6)
    timeline.invert_yaxis()
    timeline.tick_params(axis="y", labelsize=7)
    timeline.set_xlabel("seconds after the post")
    timeline.set_title("timeline of a job")
    for axis in (processes, worker, timeline):
        axis.title.set_fontsize(10)
    save(drawing, path)


def main() -> None:
    for path in RESULTS.glob("profile-*.json"):
        draw(json.loads(path.read_text()), path.with_suffix(".png"))


if __name__ == "__main__":
    main()
