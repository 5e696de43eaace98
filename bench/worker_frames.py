"""What a worker's work horse does, sampled by py-spy, which reads the memory of another process.

py-spy needs the right to read the worker's memory. Root has it, also in a container without the
capability SYS_PTRACE. Another user has it where /proc/sys/kernel/yama/ptrace_scope is 0 or missing.
"""

from __future__ import annotations

import signal
import subprocess
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

RATE_HZ = 100
READY_TIMEOUT_S = 20.0
READY = "Sampling process"

# A stack belongs to the class of its innermost frame that has one. The first match counts.
CLASSES: dict[str, tuple[str, ...]] = {
    "Redis": ("/redis/", "/rq/"),
    "files": tuple(
        f"/jobs/{name}.py" for name in ("journal", "store", "files", "locks", "reading")
    ),
    "JSON, pydantic": ("/json/", "/pydantic", "/contract/strict_json.py"),
    "client": (
        *(f"/{name}/" for name in ("aiohttp", "aiohappyeyeballs", "yarl", "multidict")),
        *(f"/{name}/" for name in ("openai", "httpx2", "httpcore2", "anyio", "h11")),
        *(f"/asyncio/{name}.py" for name in ("selector_events", "sslproto", "streams")),
        "/socket.py",
        "/ssl.py",
        "/worker/connections.py",
    ),
    "questions, labels, votes": ("/contract/", "/orchestrator/"),
    "event loop": ("/asyncio/",),
}
IDLE, OTHER = "idle", "other"
# Where a thread waits for work or for the next renewal.
WAITING = ("_worker", "wait", "get", "_wait_for_tstate_lock")
PROCESS, THREAD, MAIN = "process ", "thread (", "): MainThread"


def class_of(frames: Sequence[str]) -> str:
    """`frames` begin with the outermost; each is "Class.function (path:line)"."""
    if _function(frames[-1]) == "select" and "/selectors.py" in frames[-1]:
        return IDLE
    for frame in reversed(frames):
        for name, places in CLASSES.items():
            if any(place in frame for place in places):
                return name
    return OTHER


def shares(raw: str) -> dict[str, dict[str, float]]:
    """Shares of the time of the work horses' main threads, by class, from py-spy's raw stacks.

    `main` adds up to 1, with what it was idle; `threads` holds what other threads did besides. Time
    in which a thread could have run, but had no core, counts for what it was about to do.
    """
    main: Counter[str] = Counter()
    threads: Counter[str] = Counter()
    for line in raw.splitlines():
        joined, _, count = line.rpartition(" ")
        parts = joined.split(";")
        frames = [part for part in parts if not part.startswith((PROCESS, THREAD))]
        is_horse = sum(part.startswith(PROCESS) for part in parts) > 1  # its worker comes first
        if not is_horse or not frames:
            continue
        if any(part.startswith(THREAD) and part.endswith(MAIN) for part in parts):
            main[class_of(frames)] += int(count)
        elif _function(frames[-1]) not in WAITING:
            threads[class_of(frames)] += int(count)
    total = sum(main.values()) or 1
    return {
        "main": {name: round(n / total, 4) for name, n in main.most_common()},
        "threads": {name: round(n / total, 4) for name, n in threads.most_common()},
    }


def _function(frame: str) -> str:
    return frame.partition(" (")[0].rpartition(".")[2]


class WorkerFrames:
    """Samples while the block runs; `found` then holds the shares, or why there are none."""

    def __init__(self, py_spy: Path, worker: int, folder: Path) -> None:
        self._raw, self._log = folder / "frames.txt", folder / "py-spy.log"
        self._argv = [str(py_spy), "record", "--pid", str(worker), "--subprocesses", "--threads"]
        self._argv += ["--idle", "--nonblocking", "--full-filenames", "--rate", str(RATE_HZ)]
        self._argv += ["--format", "raw", "--output", str(self._raw)]
        self.found: dict[str, Any] = {}

    def __enter__(self) -> Self:
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(self._argv, stdout=log, stderr=subprocess.STDOUT)
        deadline = time.monotonic() + READY_TIMEOUT_S
        while READY not in self._log.read_text() and self._process.poll() is None:
            if time.monotonic() > deadline:
                break
            time.sleep(0.1)
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
        self._process.wait()
        if self._raw.exists():
            self.found = shares(self._raw.read_text())
        if not self.found.get("main"):
            said = self._log.read_text().strip()[-500:]
            self.found = {"missing": f"py-spy took no sample of a work horse: {said}"}
