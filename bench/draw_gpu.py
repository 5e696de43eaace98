"""Draw the results of bench/gpu.py, a picture for each card.

.venv-model/bin/python bench/draw_gpu.py
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from trainer.plots import BLUE, GREY, figure, save

RESULTS = Path(__file__).parent / "results"


def speeds(found: dict[str, Any]) -> dict[str, float]:
    """Questions/s, by what answered."""
    rates = {}
    if answer := found.get("answer"):
        rates["job"] = answer["questions"] / answer["job_s"]
        if "bare_s" in answer:
            rates["bare\nclient"] = answer["questions"] / answer["bare_s"]
    for part in ("quantized", "parallel"):
        sides = found.get(part, {})
        rates |= {
            name.replace(" over ", "\nover ").replace(" a card", "\na card"): sides["questions"]
            / side["job_s"]
            for name, side in sides.items()
            if isinstance(side, dict) and "job_s" in side
        }
    return rates


def waits(found: dict[str, Any]) -> dict[str, float]:
    """Seconds without a server, by reason."""
    start, newer = found.get("start", {}), found.get("newer", {})
    named = {"empty_caches_s": "start,\nempty caches", "full_caches_s": "start,\nfull caches"}
    seconds = {label: start[key] for key, label in named.items() if key in start}
    return seconds | {
        f"newer model,\n{name}": side["longest_gap_s"]
        for name, side in newer.items()
        if isinstance(side, dict) and "longest_gap_s" in side
    }


def main() -> None:
    for path in RESULTS.glob("gpu-*.json"):
        for stack, found in json.loads(path.read_text()).items():
            drawing, axes = figure(2)
            titles = ("questions/s, k = 3", "seconds without a server")
            for axis, title, values in zip(
                axes, titles, (speeds(found), waits(found)), strict=True
            ):
                colours = [GREY if "bare" in name else BLUE for name in values]
                bars = axis.bar(list(values), list(values.values()), color=colours)
                axis.bar_label(bars, fmt="{:.1f}", padding=2)
                axis.tick_params("x", labelsize=7)
                axis.margins(y=0.15)
                axis.set_title(f"{title} ({path.stem.removeprefix('gpu-')}, {stack})", fontsize=9)
            save(drawing, path.with_name(f"{path.stem}-{stack}.png"))


if __name__ == "__main__":
    main()
