"""The vote over a question's samples, and how few draws settle it. Pure functions over slots.

A vote of k has slots 0 .. k-1. What a slot holds (a label, or None for a sample that stayed
invalid) depends on nothing but its own seeds, never on when it is drawn. So a vote stopped as soon
as no further slot could change its winner has the winner of all k slots. Two more slots exist to
break ties.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

TIE_BREAKS = 2


@dataclass(frozen=True)
class Outcome:
    """The winner, its share of the valid votes, and the votes per label.

    Where no slot voted, winner and share are None.
    """

    answer: str | None
    agreement: float | None
    tally: dict[str, int]
    tie: bool


def draws_needed(slots: Sequence[str | None], k: int, *, early_stop: bool) -> int:
    """How many slots to draw next, given those drawn so far in order; 0 when the vote is settled.

    With `early_stop`, no fewer draws than these could settle the vote, and a vote with 0 left
    cannot change: the leader has more votes than the second could reach with every slot that is
    left.
    """
    left = k - len(slots)
    first, second = _two_highest(slots)
    if left > 0:
        if not early_stop:
            return left
        if first - second > left:
            return 0
        return (left - (first - second)) // 2 + 1
    tied = first == second and first > 0
    return 1 if tied and len(slots) < k + TIE_BREAKS else 0


def outcome(slots: Sequence[str | None], k: int) -> Outcome:
    """The result of a settled vote.

    `tie` says that it was level after k slots, whatever decided it then.
    """
    tally = Counter(label for label in slots if label is not None)
    if not tally:
        return Outcome(None, None, {}, tie=False)
    most = max(tally.values())
    answer = next(label for label in slots if label is not None and tally[label] == most)
    first, second = _two_highest(slots[:k])
    tie = len(slots) >= k and first == second and first > 0
    return Outcome(answer, most / tally.total(), dict(sorted(tally.items())), tie)


def _two_highest(slots: Sequence[str | None]) -> tuple[int, int]:
    counts = [
        count for _, count in Counter(label for label in slots if label is not None).most_common(2)
    ]
    first, second, *_ = [*counts, 0, 0]
    return first, second
