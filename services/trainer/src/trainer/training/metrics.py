"""A run's progress: metrics.jsonl, a log line now and then, and TensorBoard if asked for."""

from __future__ import annotations

import json
import logging
import math
import resource
import time
from pathlib import Path
from typing import Any

import torch

from contract.published import METRICS_FILE
from trainer.errors import TrainerError
from trainer.run import Part

log = logging.getLogger("trainer")

SAID_EVERY_S = 10.0


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The entries of a metrics.jsonl, without a last line that a kill cut short."""
    if not path.is_file():
        return []
    whole = path.read_bytes().rpartition(b"\n")[0]
    return [json.loads(line) for line in whole.splitlines()]


def peak_memory_gib(device: torch.device) -> float:
    """The most that the device's allocator held so far; on a CPU the largest resident set."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


class Metrics:
    """One JSON line a step, written as it ends: step, steps, epoch, loss, learning_rate,
    gradient_norm, tokens_per_s, reply_tokens_per_s, memory_gib, elapsed_s, eta_s; after a
    validation also validation_loss and label_accuracy. Step 0 is the base, validated untrained.

    A value that is not finite is left out of its line, such as a gradient norm that overflowed in
    float16. A resumed run keeps the lines up to `step`, and its clocks go on from there. A member
    of a panel also writes member, members and panel_eta_s, the time left for all of them.
    """

    def __init__(
        self,
        run_dir: Path,
        step: int,
        steps: int,
        device: torch.device,
        tensorboard: bool,
        part: Part | None = None,
    ) -> None:
        path = run_dir / METRICS_FILE
        kept = [entry for entry in read_metrics(path) if entry["step"] <= step] if step else []
        path.write_text("".join(json.dumps(entry, allow_nan=False) + "\n" for entry in kept))
        self._file = path.open("a", buffering=1)
        self._device, self._part = device, part
        self._first_step, self._steps = step, steps
        self._before_s = float(kept[-1]["elapsed_s"]) if kept else 0.0
        self._started = self._said = time.monotonic()
        self._stopped = 0.0  # seconds since the start that validations took
        self._tokens = self._replies = 0
        self._board = _tensorboard(run_dir) if tensorboard else None

    def step(
        self, step: int, *, tokens: int, replies: int, validating_s: float, **values: float
    ) -> None:
        """Write step `step`, which took `tokens` tokens, `replies` of them in replies. Rates leave
        out the time that validations took.
        """
        now = time.monotonic()
        self._stopped += validating_s
        self._tokens += tokens
        self._replies += replies
        elapsed = now - self._started
        trained = max(elapsed - self._stopped, 1e-9)
        done = step - self._first_step
        entry = {
            "step": step,
            "steps": self._steps,
            **values,
            "tokens_per_s": round(self._tokens / trained, 1),
            "reply_tokens_per_s": round(self._replies / trained, 1),
            "memory_gib": round(peak_memory_gib(self._device), 3),
            "elapsed_s": round(self._before_s + elapsed, 1),
            "eta_s": round(elapsed / done * (self._steps - step), 1) if done else 0.0,
        }
        if self._part:
            spent_s, left_s = float(entry["elapsed_s"]), float(entry["eta_s"])
            entry |= {
                "member": self._part.number,
                "members": self._part.of,
                "panel_eta_s": round(self._part.all_left_s(spent_s, left_s), 1),
            }
        finite = {name: value for name, value in entry.items() if math.isfinite(value)}
        self._file.write(json.dumps(finite, allow_nan=False) + "\n")
        if self._board:
            for name, value in values.items():
                self._board.add_scalar(name, value, step)
        validated = "validation_loss" in values
        if validated or step == self._steps or now - self._said > SAID_EVERY_S:
            self._said = now
            _say(entry)

    def close(self) -> None:
        self._file.close()
        if self._board:
            self._board.close()


def _say(entry: dict[str, Any]) -> None:
    parts = [f"step {entry['step']}/{entry['steps']}"]
    if "loss" in entry:
        parts += [
            f"loss {entry['loss']:.4f}",
            f"learning rate {entry['learning_rate']:.2g}",
            f"{entry['tokens_per_s']:.0f} tokens/s",
            f"{entry['memory_gib']:.1f} GiB",
        ]
    if "validation_loss" in entry:
        parts.append(f"validation loss {entry['validation_loss']:.4f}")
    if "label_accuracy" in entry:
        parts.append(f"{100 * entry['label_accuracy']:.1f} % of labels right")
    if "loss" in entry:
        parts.append(f"{entry['eta_s']:.0f} s left")
    if "member" in entry and "loss" in entry:
        place = f"member {entry['member']} of {entry['members']}"
        parts.append(f"{place}, about {entry['panel_eta_s']:.0f} s left for all")
    log.info(", ".join(parts))


def _tensorboard(run_dir: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise TrainerError(
            "TENSORBOARD is set, but the package tensorboard is not installed: install it, or "
            "unset the variable"
        ) from error
    return SummaryWriter(str(run_dir / "tensorboard"))
