"""What a long part of a run tells while it goes: a line now and then, with the time left."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

log = logging.getLogger("trainer")

SAID_EVERY_S = 10.0


class Progress:
    """Logs what is under way at least every `every_s` seconds, however long one piece of it takes;
    nothing about what is over sooner.

    The time left is that of the part under way, and known once a piece of it is done.
    """

    def __init__(self, task: str, every_s: float | None = None) -> None:
        self._task, self._every_s = task, every_s or SAID_EVERY_S
        self._part: str | Callable[[], str] = ""
        self._done, self._pieces, self._began = 0, 0, 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._tell, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._over.set()
        self._thread.join()

    @contextmanager
    def part(self, name: str | Callable[[], str], pieces: int = 0) -> Iterator[None]:
        """What is under way inside, or what tells it; `pieces` is how often `piece` is called."""
        self._part, self._done, self._pieces = name, 0, pieces
        self._began = time.monotonic()
        yield
        self._part = ""

    def piece(self) -> None:
        """One more of the part's pieces is done."""
        self._done += 1

    def _tell(self) -> None:
        while not self._over.wait(self._every_s):
            if self._part:
                log.info("%s: %s", self._task, self._said())

    def _said(self) -> str:
        part, done, pieces = self._part, self._done, self._pieces
        if callable(part):
            return part()
        if not pieces:
            return part
        if not done:
            return f"{part}, 0 of {pieces}"
        left = (time.monotonic() - self._began) / done * (pieces - done)
        return f"{part}, {done} of {pieces}, about {left:.0f} s left"
