"""Logs the progress of a long part of a run: a line now and then, with the time left."""

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
    """Logs the part under way every `every_s` seconds, even while one piece takes longer. A part
    that ends sooner is not logged.

    The time left is that of this part; it is known once a piece of the part is done.
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
        """Log the work inside as `name`, or as the text that `name` returns. `pieces`: how often
        the work calls `piece`.
        """
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
                log.info("%s: %s", self._task, self._status())

    def _status(self) -> str:
        part, done, pieces = self._part, self._done, self._pieces
        if callable(part):
            return part()
        if not pieces:
            return part
        if not done:
            return f"{part}, 0 of {pieces}"
        left = (time.monotonic() - self._began) / done * (pieces - done)
        return f"{part}, {done} of {pieces}, about {left:.0f} s left"
