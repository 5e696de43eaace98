"""A run's curves: loss of training and validation, label accuracy, learning rate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trainer.plots import BLUE, GREEN, GREY, ORANGE, figure, save

PICTURE = "curves.png"
_COLORS = (BLUE, ORANGE, GREEN, GREY)


def draw_curves(runs: Mapping[str, Sequence[dict[str, Any]]], path: Path) -> None:
    """Draw the metrics of one run, or of several side by side, by name."""
    drawing, (losses, accuracy, rates) = figure(3)
    for (name, entries), color in zip(runs.items(), _COLORS, strict=False):
        suffix = f" {name}" if len(runs) > 1 else ""
        x, y = _series(entries, "loss")
        losses.plot(x, y, color=color, linewidth=0.6, alpha=0.35)
        losses.plot(x, _smooth(y), color=color, linewidth=1.6, label=f"training{suffix}")
        x, y = _series(entries, "validation_loss")
        losses.plot(x, y, "o--", color=color, markersize=3, label=f"validation{suffix}")
        x, y = _series(entries, "label_accuracy")
        percent = [100 * value for value in y]
        accuracy.plot(x, percent, "o-", color=color, markersize=3, label=name)
        x, y = _series(entries, "learning_rate")
        rates.plot(x, y, color=color, label=name)
    losses.set(title="Loss", xlabel="step", ylabel="nats a token")
    losses.set_yscale("log")
    losses.legend(frameon=False, fontsize=8)
    accuracy.set(title="Labels right", xlabel="step", ylabel="% of validation")
    rates.set(title="Learning rate", xlabel="step")
    if len(runs) > 1:
        rates.legend(frameon=False, fontsize=8)
    save(drawing, path)


def _series(entries: Sequence[dict[str, Any]], key: str) -> tuple[list[int], list[float]]:
    with_key = [entry for entry in entries if key in entry]
    return [entry["step"] for entry in with_key], [entry[key] for entry in with_key]


def _smooth(values: Sequence[float]) -> list[float]:
    """Mean over a twentieth of the run around each step."""
    reach = len(values) // 40
    windows = (values[max(0, i - reach) : i + reach + 1] for i in range(len(values)))
    return [sum(window) / len(window) for window in windows]
