"""Draw bench/results/real.json, which `make bench-real` writes.

.venv-model/bin/python bench/draw_real.py
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from trainer.plots import BLUE, GREEN, GREY, figure, save

SIDES = (("base", "base,\nletter forced", GREY), ("one", "one sample", BLUE))


def main() -> None:
    parser = argparse.ArgumentParser(description="Draw the accuracies of a real small model.")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    out: Path = parser.parse_args().out
    found: dict[str, Any] = json.loads((out / "real.json").read_text())
    drawing, axes = figure(len(found))
    for axis, (name, part) in zip(axes, found.items(), strict=True):
        sides = [*SIDES, ("vote", f"vote of {part['samples']}", GREEN)]
        for place, (side, _, colour) in enumerate(sides):
            value, low, high = (100 * number for number in part["right"][side])
            axis.bar(place, value, color=colour)
            axis.errorbar(place, value, [[value - low], [high - value]], color="black", capsize=4)
            axis.annotate(f"{value:.1f}", (place, high + 2), ha="center")
        axis.axhline(100 * part["chance"], color="black", linestyle=":", label="chance")
        axis.set_xticks(range(len(sides)), [title for _, title, _ in sides])
        axis.set(title=f"{name}: % of {part['questions']} questions right", ylim=(0, 100))
        axis.legend(frameon=False)
    save(drawing, out / "real.png")


if __name__ == "__main__":
    main()
