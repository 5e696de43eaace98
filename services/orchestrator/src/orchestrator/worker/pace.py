"""The number of questions that a worker keeps in flight, found by trying.

It starts at `START`. It is multiplied by `GROWTH` again and again, until that no longer raises the
rate of reply tokens: a server that always has enough requests answers no faster if it gets more.
The shards of one worker share one pace: the next shard takes the places that the last one leaves.
"""

from __future__ import annotations

import time
from asyncio import Event
from collections.abc import Callable

import structlog

log = structlog.get_logger("quorum")

START = 256
MOST = 1024
GROWTH = 1.5
# A rate counts as higher from this factor on; measurements of less differ by chance.
HIGHER = 1.05


class Pace:
    """Places for questions in flight. `limit` is their number; with `fixed` it never changes."""

    def __init__(
        self, fixed: int | None = None, clock_s: Callable[[], float] = time.monotonic
    ) -> None:
        self.limit = fixed or START
        self.in_flight = 0
        self._grows = fixed is None
        self._clock_s = clock_s
        self._place_is_free = Event()
        self._before = 0  # the limit that gave the best rate
        self._best_rate = 0.0
        self._skip = self.limit  # answers to questions that were asked under another limit
        self._left = self.limit
        self._work, self._began_s = 0, 0.0

    async def take(self) -> None:
        """Wait for a place, and take it."""
        while self.in_flight >= self.limit:
            self._place_is_free.clear()
            await self._place_is_free.wait()
        self.in_flight += 1

    def leave(self, tokens: int = 0) -> None:
        """Give a place back, after an answer with so many reply tokens."""
        self.in_flight -= 1
        if self._grows:
            self._count(tokens)
        self._place_is_free.set()

    def _count(self, tokens: int) -> None:
        if self._skip:
            self._skip -= 1
            self._began_s = self._clock_s()
            return
        self._work += max(tokens, 1)  # a server may not report tokens; then questions count
        self._left -= 1
        if self._left:
            return
        rate = self._work / max(self._clock_s() - self._began_s, 1e-6)
        if rate <= self._best_rate * HIGHER:
            self._settle(self._before)
        elif self.limit == MOST:
            self._settle(MOST)
        else:
            self._best_rate, self._before = rate, self.limit
            self._set(min(MOST, int(self.limit * GROWTH)))

    def _settle(self, limit: int) -> None:
        self._grows = False
        self.limit = limit
        log.info("the number of questions in flight is found", limit=limit)

    def _set(self, limit: int) -> None:
        self.limit = self._skip = self._left = limit
        self._work = 0
