"""Draw bench/results/peers-*.json, which `make bench-peers` writes.

.venv-model/bin/python bench/draw_peers.py
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from trainer.plots import BLUE, GREY, figure, save


def draw(found: dict[str, Any], path: Path) -> None:
    sides = [(name, side) for name, side in found["sides"].items() if "wall_s" in side]
    sides.reverse()  # the first one at the top
    titles = [side["title"] for _, side in sides]
    colours = [BLUE if name.startswith("quorum") else GREY for name, _ in sides]
    drawing, (times, twice) = figure(2)
    walls = [side["wall_s"] for _, side in sides]
    ranges = [
        [wall - min(side["walls_s"]) for wall, (_, side) in zip(walls, sides, strict=True)],
        [max(side["walls_s"]) - wall for wall, (_, side) in zip(walls, sides, strict=True)],
    ]
    bars = times.barh(titles, walls, color=colours, xerr=ranges, capsize=2)
    times.bar_label(bars, fmt="{:.1f}", padding=6)
    times.set_xlabel("seconds from command to file (median and range)")
    times.set_title(f"{found['file']}, k = 3", fontsize=10)
    shares = [side.get("killed", {}).get("share_again") for _, side in sides]
    percents = [100 * max(0.0, share or 0.0) for share in shares]
    bars = twice.barh(titles, percents, color=colours)
    labels = [
        "no result" if share is None else f"{percent:.0f} %"
        for share, percent in zip(shares, percents, strict=True)
    ]
    twice.bar_label(bars, labels, padding=4)
    twice.set_xlabel("tokens generated in vain, % of an undisturbed run")
    twice.set_title("killed half way and started again", fontsize=10)
    for axis in (times, twice):
        axis.margins(x=0.2)
        axis.grid(visible=False, axis="y")
        axis.tick_params(labelsize=8)
    save(drawing, path)


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Draw the times of the sides, and what a kill costs them."
    )
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    out: Path = parser.parse_args().out
    for file in sorted(out.glob("peers-*.json")):
        draw(json.loads(file.read_text()), file.with_suffix(".png"))


if __name__ == "__main__":
    main()
