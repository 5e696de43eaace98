"""The vote over a question's samples, and the fewest draws that settle it. Pure functions over
slots.

A vote of k has slots 0 .. k-1. A slot's content (a label, or None for a sample that stayed invalid)
depends only on its own seeds, never on the time when it is drawn. So a vote may stop once no
further slot could change its winner: the winner is that of all k slots. Two more slots exist to
break ties.

A label may be a set, if all right options are asked for: "AC" is one label then, other than "A".

A slot has one vote, or less if votes are weighted by the probability of the reply
(self-consistency, Wang et al. 2023, section 2, equation 1: the weighted sum with normalized
probabilities).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from orchestrator.jobs.records import Sample, Weighing

TIE_BREAKS = 2
# Weights are integer multiples of this, so their sums are exact in binary floating point.
WEIGHT_STEP = 2.0**-20


class Slot(NamedTuple):
    """A slot's content: a label or None, and its weight in (0, 1]."""

    label: str | None
    weight: float = 1


@dataclass(frozen=True)
class Outcome:
    """The winner, its share of the valid votes, and the votes per label.

    If no slot voted, winner and share are None.
    """

    answer: str | None
    agreement: float | None
    tally: dict[str, float]
    tie: bool


def weight_of(mean_logprob: float) -> float:
    """The weight of a reply with this mean log-probability of its tokens, in nats."""
    steps = round(math.exp(min(0.0, mean_logprob)) / WEIGHT_STEP)
    return max(1, steps) * WEIGHT_STEP


def _mean_probability(sample: Sample) -> float:
    return 1 if sample.logprob is None else weight_of(sample.logprob)


# The weight of a sample's vote, by the job's setting `vote`: in (0, HEAVIEST], and exact in sums.
WEIGHTS: dict[Weighing, Callable[[Sample], float]] = {
    "plurality": lambda sample: 1,
    "weighted": _mean_probability,
}
HEAVIEST = 1.0


def slot_of(sample: Sample, weighing: Weighing) -> Slot:
    """The content of a slot whose last attempt is `sample`."""
    return Slot(sample.label, WEIGHTS[weighing](sample))


def draws_needed(
    slots: Sequence[Slot], k: int, *, early_stop: bool, heaviest: float = HEAVIEST
) -> int:
    """The number of slots to draw next, given those drawn so far in order; 0 if the vote is
    settled.

    With `early_stop`, this is the smallest number of draws that could settle the vote. A vote is
    settled if the leader has more votes than the second could reach with all remaining slots at the
    weight `heaviest`, which no slot exceeds.
    """
    left = k - len(slots)
    first, second = _two_highest(slots)
    if left > 0:
        if not early_stop:
            return left
        over = left * heaviest - (first - second)
        return 0 if over < 0 else math.floor(over / (2 * heaviest)) + 1
    tied = first == second and first > 0
    return 1 if tied and len(slots) < k + TIE_BREAKS else 0


def outcome(slots: Sequence[Slot], k: int) -> Outcome:
    """The result of a settled vote.

    `tie` is True if the vote was level after k slots, even if further slots decided it.
    """
    tally = _tally(slots)
    if not tally:
        return Outcome(None, None, {}, tie=False)
    most = max(tally.values())
    answer = next(label for label, votes in tally.items() if votes == most)
    first, second = _two_highest(slots[:k])
    tie = len(slots) >= k and first == second and first > 0
    return Outcome(answer, most / sum(tally.values()), dict(sorted(tally.items())), tie)


def _tally(slots: Sequence[Slot]) -> dict[str, float]:
    """Votes per label, in the order in which labels were first seen."""
    tally: dict[str, float] = {}
    for label, weight in slots:
        if label is not None:
            tally[label] = tally.get(label, 0) + weight
    return tally


def _two_highest(slots: Sequence[Slot]) -> tuple[float, float]:
    first, second, *_ = [*sorted(_tally(slots).values(), reverse=True), 0, 0]
    return first, second
