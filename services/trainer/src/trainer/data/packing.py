"""Which rows make up a step, and how they are packed for the devices. Both follow from the step's
number alone.

So a resumed run needs no memory of earlier steps: step 812 takes the same rows in the same packs,
even if the process that ran the steps before it was killed.
"""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Sequence
from functools import lru_cache


class Order:
    """The endless stream of rows. Each epoch draws each row as often as its weight says, in an
    order of its own.
    """

    def __init__(self, weights: Sequence[float], seed: int) -> None:
        self._weights = tuple(weights)
        self._seed = seed
        self.rows_an_epoch = max(1, round(sum(weights)))
        self._epoch = lru_cache(maxsize=2)(self._draw)

    def rows(self, start: int, stop: int) -> list[int]:
        """Indices of the rows from place `start` up to `stop` of the stream."""
        places = (divmod(place, self.rows_an_epoch) for place in range(start, stop))
        return [self._epoch(epoch)[place] for epoch, place in places]

    def _draw(self, epoch: int) -> list[int]:
        rng = random.Random(f"{self._seed}/{epoch}")
        drawn = [i for i, weight in enumerate(self._weights) for _ in range(math.floor(weight))]
        # Fractional parts of weights: systematic sampling over the rows in a random order, so each
        # row's chance is its fraction and the count is fixed.
        parts = list(range(len(self._weights)))
        rng.shuffle(parts)
        passed, wanted = 0.0, self.rows_an_epoch - len(drawn)
        step = sum(weight % 1 for weight in self._weights) / wanted if wanted else math.inf
        next_at = rng.random() * step
        for i in parts:
            passed += self._weights[i] % 1
            if passed > next_at and wanted:
                drawn.append(i)
                wanted -= 1
                next_at += step
        # rounding errors may have left rows out
        drawn += rng.sample(range(len(self._weights)), wanted)
        rng.shuffle(drawn)
        return drawn


def steps_of(
    rows_an_epoch: int, batch_rows: int, epochs: float, max_steps: int | None = None
) -> int:
    """The number of optimizer steps in a run; the last step may take fewer rows."""
    steps = max(1, math.ceil(round(rows_an_epoch * epochs) / batch_rows))
    return min(steps, max_steps) if max_steps else steps


def pack(lengths: Sequence[int], capacity: int, devices: int = 1) -> list[list[int]]:
    """Packs of indices into `lengths`: about equal in tokens, none above `capacity`, and as few as
    possible in a multiple of `devices`.

    The longest row goes first, always into the emptiest pack (Graham 1969). If there are fewer rows
    than devices, some packs are empty.

    Raises:
        ValueError: a row is longer than `capacity`.
    """
    if lengths and max(lengths) > capacity:
        raise ValueError(f"a row of {max(lengths)} tokens does not fit a pack of {capacity}")
    longest_first = sorted(range(len(lengths)), key=lambda i: (-lengths[i], i))
    count = devices * max(1, math.ceil(sum(lengths) / capacity / devices))
    while True:
        heap = [(0, number) for number in range(count)]
        packs: list[list[int]] = [[] for _ in range(count)]
        for i in longest_first:
            filled, number = heapq.heappop(heap)
            packs[number].append(i)
            heapq.heappush(heap, (filled + lengths[i], number))
        if max(filled for filled, _ in heap) <= capacity:
            return packs
        count += devices
