"""What a job's samples would have given with fewer of them, or with another way to count votes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import get_args

from orchestrator.jobs.intervals import compare, wilson
from orchestrator.jobs.records import Answer, JobSettings, Sample, StartFile, Weighing
from orchestrator.jobs.report_models import Accuracy, VoteCounted
from orchestrator.jobs.scoring import is_right
from orchestrator.jobs.vote import (
    SOLE_VOTER,
    Slot,
    Weigh,
    draws_needed,
    in_panel,
    needs_logprobs,
    outcome,
    slot_of,
    weigher,
)
from orchestrator.jobs.vote_temperature import as_started

WAYS: tuple[Weighing, ...] = get_args(Weighing)


def slots_of(answer: Answer, weigh: Weigh) -> list[Slot]:
    """The slots of an answer's vote, in order: each slot's last attempt."""
    if answer.forced:
        return [Slot(None)] * max((sample.slot for sample in answer.samples), default=0)
    last = {sample.slot: sample for sample in answer.samples}
    return [slot_of(last[slot], weigh) for slot in sorted(last)]


def answer_by(votes: int, answer: Answer, weigh: Weigh) -> str | None:
    """The answer of a job with `samples=votes`, including redraws and replies restricted to labels.

    A reply restricted to labels depends only on the question, so it is the same after fewer
    samples. If that job would have needed such a reply and this job did not, the reply is unknown:
    the result is None and counts as wrong.
    """
    if answer.forced:
        return answer.answer
    return winner(slots_of(answer, weigh), votes)


def first_draw(answer: Answer) -> str | None:
    """The label of the first sample, before any redraw."""
    return answer.samples[0].label if answer.samples and not answer.forced else None


def winner(slots: Sequence[Slot], votes: int) -> str | None:
    """The winner of a vote of `votes`, from the slots drawn for a larger vote.

    Also exact if the larger vote was stopped early: the slots that settled it also settle the
    smaller one. A tie goes to further slots if they were drawn, else to the label seen first.
    """
    taken = list(slots[:votes])
    while len(taken) < len(slots) and (more := draws_needed(taken, votes, early_stop=False)):
        taken = list(slots[: len(taken) + more])
    return outcome(taken, votes).answer


def weights_of(start: StartFile | None) -> dict[str, float]:
    """The weights of a job's voters by name, in turn."""
    return {voter.name: voter.weight for voter in start.voters} if start else {}


class Recount:
    """Counts labelled votes in each way, answer by answer. `started` reads start.json, which is
    there before the first answer.
    """

    def __init__(self, settings: JobSettings, started: Callable[[], StartFile | None]) -> None:
        self._settings = settings
        self._started = started
        self._possible = {*WAYS} if needs_logprobs(settings) else set()
        self._right = {way: bytearray() for way in WAYS}  # a byte a question
        self._unsettled: Counter[Weighing] = Counter()

    @cached_property
    def _voters(self) -> dict[str, float]:
        return weights_of(self._started())

    @cached_property
    def _weigh(self) -> dict[Weighing, Weigh]:
        temperature = as_started(self._settings, self._started()).vote_temperature
        return {way: in_panel(weigher(way, temperature), self._voters) for way in WAYS}

    def count(self, answer: Answer) -> None:
        """Takes no part in a way for which one of the answer's votes has no weight."""
        voting = [] if answer.forced else [s for s in answer.samples if s.label is not None]
        self._possible -= {way for way in WAYS if not all(_has_weight(s, way) for s in voting)}
        for way in self._possible:
            label, settled = answer.answer, True
            if voting and not answer.failed:
                slots = slots_of(answer, self._weigh[way])
                label = winner(slots, self._settings.samples)
                settled = not draws_needed(
                    slots,
                    self._settings.samples,
                    early_stop=True,
                    voters=[*self._voters.values()] or SOLE_VOTER,
                )
            right = is_right(label, answer.key, multiple=self._settings.multiple)
            self._right[way].append(right)
            self._unsettled[way] += not settled

    def found(self) -> list[VoteCounted]:
        """Each way that all samples could be counted in; none if that is plurality alone."""
        ways = [way for way in WAYS if way in self._possible and self._right[way]]
        return [self._counted(way) for way in ways] if len(ways) > 1 else []

    def _counted(self, way: Weighing) -> VoteCounted:
        first, second = ([*map(bool, self._right[one])] for one in ("plurality", way))
        estimate = wilson(sum(second), len(second))
        counted = VoteCounted(
            vote=way,
            accuracy=Accuracy(correct=sum(second), total=len(second), **estimate._asdict()),
            unsettled=self._unsettled[way],
        )
        if way == "plurality":
            return counted
        (difference, low, high), p_value = compare(first, second)
        found = {"difference": difference, "low": low, "high": high, "p_value": p_value}
        return counted.model_copy(update=found)


def _has_weight(sample: Sample, way: Weighing) -> bool:
    if way == "plurality":
        return True
    return (sample.logprob if way == "weighted" else sample.answer_logprob) is not None
