"""Draw bench/results/train-steps-qwen2-7b.json, which bench/train_gpu.py writes.

.venv-model/bin/python bench/draw_train_steps.py
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from trainer.plots import BLUE, GREY, ORANGE, figure, save

RESULTS = Path(__file__).parent / "results"
COLOURS = {"branch": GREY, "merged": BLUE, "fp8": ORANGE}
# NeMo AutoModel's performance summary, August 2026: Qwen2.5-7B, LoRA of rank 16, rows of 4,096
PUBLISHED_TOKENS_PER_S = 14_110


def main() -> None:
    path = RESULTS / "train-steps-qwen2-7b.json"
    found: dict[str, Any] = json.loads(path.read_text())
    long = {
        name: one
        for name, one in found["variants"].items()
        if one.get("variant", {}).get("rows") == "long" and "tokens_per_s" in one
    }
    drawing, (axis,) = figure(1)
    drawing.set_size_inches(8, 3.8)
    speeds = [one["tokens_per_s"] for one in long.values()]
    colours = [COLOURS[one["variant"]["lora"]] for one in long.values()]
    bars = axis.barh(list(long), speeds, color=colours)
    labels = [
        f"{one['tokens_per_s']:,.0f}  ({one['peak_gib']:.0f} GiB, MFU {100 * one['mfu']:.0f} %)"
        for one in long.values()
    ]
    axis.axvline(PUBLISHED_TOKENS_PER_S, color="black", linestyle=":", zorder=1)
    white = {"facecolor": "white", "edgecolor": "none", "pad": 1}
    axis.bar_label(bars, labels, padding=4, fontsize=8, bbox=white)
    axis.annotate(
        f"NeMo AutoModel on an H100: {PUBLISHED_TOKENS_PER_S:,}",
        (PUBLISHED_TOKENS_PER_S, 1.01),
        xycoords=("data", "axes fraction"),
        ha="center",
        fontsize=8,
    )
    axis.invert_yaxis()
    axis.grid(axis="y", visible=False)
    axis.margins(x=0.22)
    axis.set_xlabel(f"training tokens/s of Qwen2.5-7B's shape, one {found['machine']}")
    save(drawing, path.with_suffix(".png"))


if __name__ == "__main__":
    main()
