"""Sets of labels that hold the right one with a given probability: split-conformal prediction.

The score of a label is 1 minus its posterior share (`dirichlet`), which smooths the shares of the
vote. A set takes every label up to the quantile of the right labels' scores at rank
ceil((n + 1) c) of n calibration questions, for a coverage of c (Vovk et al. 2005; Angelopoulos and
Bates 2023, section 1). Votes give few different scores. So of labels whose score is at the quantile
itself, a share is taken, by a number that is fixed for the question and label: without that, a set
would hold the right label more often than it says. The answer is always in its set.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from orchestrator.jobs.confidence.dirichlet import Dirichlet
from orchestrator.jobs.confidence.votes import Case

Scores = tuple[tuple[float, int], ...]
"""Scores of right labels, in rising order, with how often each was seen."""
_DIGITS = 9


class Cutoff(NamedTuple):
    """Labels with a lower score are taken, and of those with this score this share."""

    score: float
    share: float


def scores_of(cases: Iterable[Case], posterior: Dirichlet) -> Scores:
    """The scores of the right labels."""
    found = Counter(_score_of_key(case, posterior) for case in cases)
    return tuple(sorted(found.items()))


def _score_of_key(case: Case, posterior: Dirichlet) -> float:
    vote = case.vote
    votes = (vote.for_answer, *vote.for_others)
    shares, without = posterior.shares(votes, vote.options)
    if case.right:
        return _score(shares[0])
    return _score(shares[votes.index(case.for_key, 1)] if case.for_key else without)


def _score(share: float) -> float:
    return round(1 - share, _DIGITS)


def cutoff(scores: Scores, coverage: float) -> Cutoff:
    """Too few scores for the coverage take every label."""
    n = sum(count for _, count in scores)
    rank = math.ceil((n + 1) * coverage)
    below = 0
    for score, count in scores:
        if below + count >= rank:
            return Cutoff(score, (rank - below) / (count + 1))
        below += count
    return Cutoff(math.inf, 1.0)


def label_set(
    votes: Mapping[str, int],
    labels: Sequence[str],
    answer: str,
    question: str,
    posterior: Dirichlet,
    limit: Cutoff,
) -> tuple[str, ...]:
    """The labels in the set, in order. `question` names the question, for its fixed numbers."""
    voted = [label for label in labels if votes.get(label)]
    shares, without = posterior.shares([votes[label] for label in voted], len(labels))
    share_of = dict(zip(voted, shares, strict=True))
    return tuple(
        label
        for label in labels
        if label == answer
        or _is_in(_score(share_of.get(label, without)), f"{question}\n{label}", limit)
    )


def _is_in(score: float, name: str, limit: Cutoff) -> bool:
    if score != limit.score:
        return score < limit.score
    digest = hashlib.sha256(name.encode()).digest()
    return int.from_bytes(digest[:8]) / 2**64 < limit.share
