"""Simulated votes: problems with questions whose difficulty is partly the problem's."""

from __future__ import annotations

import random
from collections import Counter

from orchestrator.jobs.confidence.votes import Case, Vote
from orchestrator.jobs.vote import Slot, draws_needed

OPTIONS = 4


def simulated_problems(
    rng: random.Random, problems: int, *, k: int = 5, hard: float = 0.0, early_stop: bool = True
) -> list[list[Case]]:
    """Problems of 1 to 4 questions. `hard` lowers the chance that a sample is right.

    The wrong options are not alike, and a question's best wrong option is often the model's
    favourite: votes are not those of any model that is fitted to them.
    """
    return [_problem(rng, k, hard, early_stop=early_stop) for _ in range(problems)]


def _problem(rng: random.Random, k: int, hard: float, *, early_stop: bool) -> list[Case]:
    ease = rng.gauss(0, 0.08)
    return [_case(rng, k, ease - hard, early_stop=early_stop) for _ in range(rng.randint(1, 4))]


def _case(rng: random.Random, k: int, ease: float, *, early_stop: bool) -> Case:
    right = min(0.99, max(0.02, rng.betavariate(2.2, 0.9) + ease))
    lure = (1 - right) * rng.uniform(0.4, 0.95)
    rest = 1 - right - lure
    chances = {"A": right * 0.97, "B": lure * 0.97, "C": rest * 0.6, "D": rest * 0.37}
    none = 1 - sum(chances.values())
    slots: list[Slot] = []
    while count := draws_needed(slots, k, early_stop=early_stop):
        names = rng.choices([*chances, None], [*chances.values(), none], k=count)
        slots += [Slot(name) for name in names]
    votes = Counter(slot.label for slot in slots if slot.label)
    if not votes:
        return Case(Vote(1, (), OPTIONS, invalid=len(slots), forced=True), 0, right=False)
    answer = votes.most_common(1)[0][0]
    others = tuple(sorted((n for label, n in votes.items() if label != answer), reverse=True))
    tie = len(slots) > k or (bool(others) and others[0] == votes[answer])
    invalid = len(slots) - votes.total()
    vote = Vote(votes[answer], others, OPTIONS, invalid=invalid, tie=tie)
    return Case(vote, votes["A"], right=answer == "A")
