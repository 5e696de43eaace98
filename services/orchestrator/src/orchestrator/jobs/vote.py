"""The vote over a question's samples, and the fewest draws that settle it. Pure functions over
slots.

A vote of k has slots 0 .. k-1. A slot's content (a label, or None for a sample that stayed invalid)
depends only on its own seeds, never on the time when it is drawn. So a vote may stop once no
further slot could change its winner: the winner is that of all k slots. Two more slots exist to
break ties.

A label may be a set, if all right options are asked for: "AC" is one label then, other than "A".

A slot has one vote, or less: by the probability of the whole reply with `weighted`
(self-consistency, Wang et al. 2023, section 2, equation 1: the weighted sum with normalized
probabilities), or by that of its answer with `confidence` (CISC, Taubenfeld et al. 2025,
"Confidence Improves Self-Consistency in LLMs", arXiv 2502.06233; Fu et al. 2025, "Deep Think with
Confidence", arXiv 2508.15260).

CISC's weights are the softmax of c / T over the samples of a question. It divides all of them by
one sum, so the winner is the same without it. Undivided, a weight is known as soon as its sample is
drawn, and is never above 1. Both are needed to stop early.

In a panel, the voters take the slots in turn, and a slot's vote is multiplied by its voter's
weight.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import NamedTuple

from orchestrator.jobs.records import JobSettings, Sample, Weighing

TIE_BREAKS = 2
# Weights are integer multiples of this, so their sums are exact in binary floating point.
WEIGHT_STEP = 2.0**-20
HEAVIEST = 1.0
# The temperature of a vote by confidence that nothing was fitted for: a weight is a probability.
UNFITTED = 1.0

# The weight of a sample's vote: in (0, HEAVIEST], and exact in sums.
Weigh = Callable[[Sample], float]
# Voters' weights are integer multiples of the same, so a product of both is exact too: 40 bits, and
# 7 for the sum, of the 53 that a float has.
SOLE_VOTER: Sequence[float] = (1,)
NO_PANEL: Mapping[str, float] = {}


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


def weight_of(mean_logprob: float, temperature: float = 1.0) -> float:
    """The weight of tokens with this mean log-probability, in nats: exp(mean / temperature).

    The temperature may be infinite: all weights are 1. Weights below half a `WEIGHT_STEP` become
    one step, so they are alike.
    """
    steps = round(math.exp(min(0.0, mean_logprob) / temperature) / WEIGHT_STEP)
    return max(1, steps) * WEIGHT_STEP


def plurality(_: Sample) -> float:
    return 1


def _weighted(sample: Sample) -> float:
    return 1 if sample.logprob is None else weight_of(sample.logprob)


def weigher(vote: Weighing, temperature: float | None) -> Weigh:
    """The weights of a job's setting `vote`. Samples without log-probabilities weigh 1."""
    fitted = UNFITTED if temperature is None else temperature

    def by_confidence(sample: Sample) -> float:
        return 1 if sample.answer_logprob is None else weight_of(sample.answer_logprob, fitted)

    return {"plurality": plurality, "weighted": _weighted, "confidence": by_confidence}[vote]


def in_panel(weigh: Weigh, voters: Mapping[str, float]) -> Weigh:
    """The same weights, each multiplied by that of its voter; `voters` has these by name."""
    return (lambda sample: weigh(sample) * voters.get(sample.voter, 1)) if voters else weigh


def needs_logprobs(settings: JobSettings) -> bool:
    return settings.vote != "plurality"


def slot_of(sample: Sample, weigh: Weigh) -> Slot:
    """The content of a slot whose last attempt is `sample`."""
    return Slot(sample.label, weigh(sample))


def draws_needed(
    slots: Sequence[Slot],
    k: int,
    *,
    early_stop: bool,
    heaviest: float = HEAVIEST,
    voters: Sequence[float] = SOLE_VOTER,
) -> int:
    """The number of slots to draw next, given those drawn so far in order; 0 if the vote is
    settled.

    With `early_stop`, this is the smallest number of draws that could settle the vote. A vote is
    settled if the leader has more votes than the second could reach with all remaining slots. A
    slot's weight is at most `heaviest` times the weight of its voter. `voters` has the weights of
    the voters, who take the slots in turn.
    """
    left = k - len(slots)
    first, second = _two_highest(slots)
    if left > 0:
        if not early_stop:
            return left
        most = [heaviest * voters[slot % len(voters)] for slot in range(len(slots), k)]
        lead, open_votes = first - second, sum(most)
        reached = accumulate(most, initial=0.0)
        return next(n for n, own in enumerate(reached) if lead + 2 * own > open_votes)
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
