"""How busy a GPU and some processes are while a block runs."""

from __future__ import annotations

import os
import statistics
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from orchestrator.local.guardian import session_members

EACH_S = 0.5
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
GPU_QUERY = ("utilization.gpu", "power.draw", "clocks.sm")


class Load(threading.Thread):
    """Samples while the block runs; `found` then holds the means.

    `sessions` names the first process of each session to watch. Its children count together, as
    "NAME's children", except vLLM's engine, which has a row of its own.
    """

    def __init__(self, sessions: Mapping[str, int], card: str = "0") -> None:
        super().__init__(daemon=True)
        self._sessions, self._card, self._done = sessions, card, threading.Event()
        self._used_s: dict[tuple[str, int], float] = {}
        self._gpu: list[list[float]] = []
        self.found: dict[str, Any] = {}

    def __enter__(self) -> Self:
        self._began_s = time.monotonic()
        self._before_s = self._sample()
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self.join()
        self._used_s |= self._sample()
        self.found = self._means(time.monotonic() - self._began_s)

    def run(self) -> None:
        while not self._done.wait(EACH_S):
            self._used_s |= self._sample()
            self._gpu += _ask_card(self._card)

    def _sample(self) -> dict[tuple[str, int], float]:
        """The CPU seconds that each process has used since its start."""
        found = {}
        for name, first in self._sessions.items():
            for pid in session_members(first):
                with suppress(OSError):
                    is_engine = b"EngineCore" in Path(f"/proc/{pid}/cmdline").read_bytes()
                    children = "engine" if is_engine else f"{name}'s children"
                    found[name if pid == first else children, pid] = _cpu_s(pid)
        return found

    def _means(self, seconds: float) -> dict[str, Any]:
        cores: dict[str, float] = {}
        for key, used_s in self._used_s.items():
            # a process that was not there before has begun in the block
            share = (used_s - self._before_s.get(key, 0.0)) / seconds
            cores[key[0]] = cores.get(key[0], 0.0) + share
        found: dict[str, Any] = {"cores": {name: round(n, 2) for name, n in cores.items()}}
        if self._gpu:
            means = [round(statistics.mean(column), 1) for column in zip(*self._gpu, strict=True)]
            found |= dict(zip(("gpu_percent", "power_w", "clock_mhz"), means, strict=True))
        return found


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def _ask_card(card: str) -> Sequence[list[float]]:
    """One row of GPU_QUERY's values; none without a card."""
    query = f"--query-gpu={','.join(GPU_QUERY)}"
    argv = ["nvidia-smi", "-i", card, query, "--format=csv,noheader,nounits"]
    with suppress(OSError, subprocess.CalledProcessError, ValueError):
        told = subprocess.run(argv, capture_output=True, text=True, check=True).stdout
        return [[float(value) for value in told.split(",")]]
    return []
