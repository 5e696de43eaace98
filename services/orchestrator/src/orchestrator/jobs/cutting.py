"""Samples that ended at the token limit before they named an option, and an estimate of a
sufficient limit.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable

from pydantic import BaseModel

from contract import split_reasoning
from orchestrator.jobs.records import Answer, Sample

# The share of samples that may still be cut at the proposed limit.
AIM = 0.01
MOST_DOUBLINGS = 4
# Lengths are counted in steps, so that the counts do not grow with the job.
STEP_CHARS = 50
# About the characters of a token, for reasoning that a server counts and does not send.
TOKEN_CHARS = 3


class CutSamples(BaseModel):
    """The number of samples cut before they named an option, and of their questions.

    `max_tokens` is the limit that cut them. `proposed_max_tokens` is an estimate from the lengths
    of this job's samples: the limit at which about 1 in 100 would still be cut.
    """

    samples: int
    questions: int
    max_tokens: int | None
    proposed_max_tokens: int | None


def was_cut(sample: Sample) -> bool:
    """True if the sample names no option because it ended too early, or inside its reasoning."""
    if sample.label is not None:
        return False
    return sample.finish_reason == "length" or split_reasoning(sample.text)[1] is None


class CutSums:
    """Adds up answers one by one."""

    def __init__(self) -> None:
        self._questions = 0
        self._cut: Counter[int] = Counter()
        self._whole: Counter[int] = Counter()

    def count(self, answer: Answer) -> None:
        found = [(was_cut(sample), _steps(sample)) for sample in answer.samples]
        self._questions += any(cut for cut, _ in found)
        self._cut.update(steps for cut, steps in found if cut)
        self._whole.update(steps for cut, steps in found if not cut)

    def found(self, max_tokens: int | None) -> CutSamples | None:
        """The sums; None if no sample was cut."""
        if not self._questions:
            return None
        factor = proposed_factor(self._cut.elements(), self._whole.elements())
        return CutSamples(
            samples=self._cut.total(),
            questions=self._questions,
            max_tokens=max_tokens,
            proposed_max_tokens=None if max_tokens is None else factor * max_tokens,
        )


def proposed_factor(cut: Iterable[int], whole: Iterable[int]) -> int:
    """The factor by which to raise the limit, a power of two, from the lengths of samples.

    Some share of the samples longer than half the limit was cut. The estimate assumes that each
    doubling cuts the same share again. This is the tail of a Pareto distribution, which is longer
    than most. If all of these samples were cut, their lengths tell nothing about longer ones, and
    the factor is 2.
    """
    cut_lengths, whole_lengths = sorted(cut), list(whole)
    half = cut_lengths[len(cut_lengths) // 2] / 2
    beyond_half = len(cut_lengths) + sum(length > half for length in whole_lengths)
    share = len(cut_lengths) / (len(cut_lengths) + len(whole_lengths))
    left = len(cut_lengths) / beyond_half
    if left == 1 or share <= AIM:
        return 2
    doublings = math.ceil(math.log(AIM / share) / math.log(left))
    return int(2 ** min(doublings, MOST_DOUBLINGS))


def _steps(sample: Sample) -> int:
    # in characters, because for several samples in one request only the sum of their tokens is
    # known
    length = len(sample.text) + len(sample.reasoning or "")
    if sample.reasoning_tokens and not sample.reasoning and not split_reasoning(sample.text)[0]:
        length += sample.reasoning_tokens * TOKEN_CHARS  # thought, and not sent
    return length // STEP_CHARS
