"""Which faults a seed does to a job, when, and for how long."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from chaos.faults import FAULTS, Fault

# A fault is held for a random time up to this. In one of four runs it is held until the job's note
# names it, but no longer than `LONGEST_HOLD_S` of runs.
SHORT_HOLD_S = 3.0
UNTIL_NOTED_SHARE = 0.25
# Of the faults, this share is done right after the post, and as many when all is answered.
AT_THE_EDGES_SHARE = 0.1


@dataclass(frozen=True)
class Planned:
    """A fault, the number of answers at which it is done, and how long it lasts (None: until the
    note names it).
    """

    fault: Fault
    at_answers: int
    hold_s: float | None


def plan(seed: int, questions: int, *, pair: bool) -> list[Planned]:
    """The faults of a seed, for a job of `questions`. Single faults take turns."""
    random = Random(f"{'pair' if pair else 'single'} {seed}")
    turns = all_turns()
    if not pair:
        return [_planned(turns[seed % len(turns)], questions, random)]
    rows = sorted({fault.row or fault.name for fault in turns})
    chosen = random.sample(rows, 2)
    return [
        _planned(random.choice([f for f in turns if (f.row or f.name) == row]), questions, random)
        for row in chosen
    ]


def all_turns() -> list[Fault]:
    """Every possible fault. All but the strange bodies, which are many, come twice."""
    possible = [fault for fault in FAULTS if fault.possible]
    return [*(fault for fault in possible if not fault.row), *possible]


def _planned(fault: Fault, questions: int, random: Random) -> Planned:
    when, at_answers = random.random(), random.randrange(1, questions)
    if when < AT_THE_EDGES_SHARE:
        at_answers = 0
    elif when > 1 - AT_THE_EDGES_SHARE:
        at_answers = questions
    hold_s: float | None = random.uniform(0.2, SHORT_HOLD_S)
    if fault.hold_s is not None:
        hold_s = fault.hold_s
    elif random.random() < UNTIL_NOTED_SHARE:
        hold_s = None
    return Planned(fault, at_answers, hold_s)
