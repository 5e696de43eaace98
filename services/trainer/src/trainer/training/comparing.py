"""Two runs side by side: the settings that differ, their last metrics, and their curves."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from contract.published import METRICS_FILE
from trainer.errors import TrainerError
from trainer.training.curves import draw_curves
from trainer.training.metrics import read_metrics

RECIPE_FILE = "recipe.json"
_AT_THE_END = ("step", "loss", "validation_loss", "label_accuracy", "tokens_per_s", "memory_gib")


class RunRecord(NamedTuple):
    """A run as its folder tells it; `name` is the start of its digest."""

    name: str
    settings: dict[str, Any]
    metrics: list[dict[str, Any]]


def load_run(runs_dir: Path, digest: str) -> RunRecord:
    """The one run whose digest begins with `digest`.

    Raises:
        TrainerError: there is no such run, there are several, or it has no metrics yet.
    """
    found = sorted(path.parent for path in runs_dir.glob(f"*/{digest}*/{RECIPE_FILE}"))
    if len(found) != 1:
        there = sorted(path.parent.name for path in runs_dir.glob(f"*/*/{RECIPE_FILE}"))
        raise TrainerError(
            f"{len(found) or 'no'} runs have a digest that begins with {digest!r}; the runs in "
            f"{runs_dir} are: {', '.join(there) or 'none'}"
        )
    metrics = read_metrics(found[0] / METRICS_FILE)
    if not metrics:
        raise TrainerError(f"the run {found[0]} has no metrics yet")
    settings = json.loads((found[0] / RECIPE_FILE).read_text(encoding="utf-8"))
    return RunRecord(found[0].name[:8], _flat(settings), metrics)


def differences(one: RunRecord, other: RunRecord) -> list[tuple[str, str, str]]:
    """Settings that differ: name and both values."""
    names = sorted({*one.settings, *other.settings})
    values = [(n, str(one.settings.get(n, "-")), str(other.settings.get(n, "-"))) for n in names]
    return [(name, a, b) for name, a, b in values if a != b]


def endings(one: RunRecord, other: RunRecord) -> list[tuple[str, str, str]]:
    """The last value of each metric that either run has: name and both values."""
    rows = []
    for key in _AT_THE_END:
        last = [
            next((f"{e[key]:.6g}" for e in reversed(run.metrics) if key in e), "-")
            for run in (one, other)
        ]
        if last != ["-", "-"]:
            rows.append((key, last[0], last[1]))
    return rows


def draw(one: RunRecord, other: RunRecord, path: Path) -> None:
    draw_curves({one.name: one.metrics, other.name: other.metrics}, path)


def _flat(settings: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in settings.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat
