"""Samples that ended at the token limit before they named an option, and which limit might do."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable

from pydantic import BaseModel

from contract import split_reasoning
from orchestrator.jobs.records import Answer, Sample

# The share of samples that may still be cut at the limit that is proposed.
AIM = 0.01
MOST_DOUBLINGS = 4
# Lengths are counted in steps, so that what is kept does not grow with the job.
STEP_CHARS = 50


class CutSamples(BaseModel):
    """Samples cut before they named an option, and the questions that they were drawn for.

    `max_tokens` is the limit they met. `proposed_max_tokens` is an estimate from the lengths of
    this job's samples: the limit at which about 1 in 100 would still be cut.
    """

    samples: int
    questions: int
    max_tokens: int | None
    proposed_max_tokens: int | None


def was_cut(sample: Sample) -> bool:
    """Whether it names no option because it ended too early, reasoning that is still open too."""
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
        """None where nothing was cut."""
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
    """By how much to raise the limit, a power of two, given the lengths of samples.

    Of those longer than half the limit, a share was cut. Each doubling is taken to leave that same
    share: the tail of a Pareto distribution, which is longer than most. Where every one was cut,
    the lengths say nothing of what lies beyond, and the limit is doubled.
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
    # characters, because of several samples in one request only the sum of their tokens is known
    return (len(sample.text) + len(sample.reasoning or "")) // STEP_CHARS
