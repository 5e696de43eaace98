"""Draw bench/results/answer.json, which bench/answer.py writes.

.venv-model/bin/python bench/draw_answer.py
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from trainer.plots import BLUE, GREY, figure, save

RESULTS = Path(__file__).parent / "results"
PARTS = (("stub", "stub"), ("vllm", "vLLM, CPU"))


def main() -> None:
    found: dict[str, Any] = json.loads((RESULTS / "answer.json").read_text())
    drawing, (times, growth) = figure(2)
    names, seconds, colours = [], [], []
    for part, title in PARTS:
        result = found[part]
        names += [f"job\n{title}", f"bare client\n{title}"]
        seconds += [result["job_s"], result["bare_s"]]
        colours += [BLUE, GREY]
    bars = times.bar(names, seconds, color=colours)
    times.bar_label(bars, fmt="{:.1f}", padding=2)
    times.set_ylabel("seconds")
    times.margins(y=0.15)
    counts = [f"{found[part]['questions']:,} ({title})" for part, title in PARTS]
    times.set_title(f"time of a job, k = 3, questions: {', '.join(counts)}", fontsize=10)
    sizes = found["growth"]["sizes"]
    growth.plot(
        [size["questions"] for size in sizes],
        [size["ms_per_question"] for size in sizes],
        marker="o",
        color=BLUE,
    )
    growth.set_xscale("log")
    growth.margins(y=0.15)
    growth.set_ylim(bottom=0)
    growth.set_xlabel("questions in the job")
    growth.set_ylabel("ms a question")
    growth.set_title("cost of a question on a stub without latency", fontsize=10)
    save(drawing, RESULTS / "answer.png")


if __name__ == "__main__":
    main()
