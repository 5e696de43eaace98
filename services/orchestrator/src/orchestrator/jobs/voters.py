"""How a panel's voters did: accuracy of each, agreement between them, the vote against the best.

A voter's slots are those that it took in turn. Early stopping leaves out slots where the votes
before were not level, so what is left to a later voter are the harder questions. That is said where
it is so, and the vote is compared with the best voter only if that one was asked every question.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import combinations

from contract import Sentence
from orchestrator.jobs.intervals import compare, wilson
from orchestrator.jobs.records import Answer, Sample
from orchestrator.jobs.report_models import (
    Accuracy,
    AgainstBest,
    PanelFigures,
    VoterAgreement,
    VoterFigures,
)
from orchestrator.jobs.scoring import is_right
from orchestrator.jobs.voter_records import VoterRecord


class VoterSums:
    """Adds up the answers of a job with a panel, in any order."""

    def __init__(self, panel: str, voters: Sequence[VoterRecord], *, labelled: bool) -> None:
        self._panel = panel
        self._voters = voters
        self._labelled = labelled
        self._best = _best(voters)
        self._questions = 0
        self._samples: Counter[str] = Counter()
        self._asked: Counter[str] = Counter()  # questions
        self._invalid: Counter[str] = Counter()
        self._right: Counter[str] = Counter()
        self._pairs: Counter[tuple[str, str]] = Counter()
        self._equal: Counter[tuple[str, str]] = Counter()
        # (the best voter is right, the vote is right)
        self._outcomes: Counter[tuple[bool, bool]] = Counter()

    def count(self, answer: Answer) -> None:
        self._questions += 1
        last = {sample.slot: sample for sample in answer.samples}
        if answer.forced:  # the last sample is no vote
            last.pop(answer.samples[-1].slot, None)
        firsts: dict[str, Sample] = {}
        for _, sample in sorted(last.items()):
            firsts.setdefault(sample.voter, sample)
            self._samples[sample.voter] += 1
            self._invalid[sample.voter] += sample.label is None
            self._right[sample.voter] += _is_right(sample, answer)
        self._asked.update([*firsts])
        self._compare_labels(last)
        if self._best is not None and self._best in firsts:
            self._outcomes[_is_right(firsts[self._best], answer), answer.right] += 1

    def _compare_labels(self, last: dict[int, Sample]) -> None:
        count = len(self._voters)
        turns: dict[int, list[Sample]] = {}
        for slot, sample in sorted(last.items()):
            if sample.label is not None:
                turns.setdefault(slot // count, []).append(sample)
        for of_turn in turns.values():
            for one, other in combinations(of_turn, 2):
                self._pairs[one.voter, other.voter] += 1
                self._equal[one.voter, other.voter] += one.label == other.label

    def figures(self) -> PanelFigures:
        against, reason = self._against_best()
        names = [voter.name for voter in self._voters]
        fewer = [name for name in names if self._asked[name] < self._questions]
        unequal = (
            Sentence(
                "voters-drawn-unequally",
                "early stopping left out samples of {voters}, which were asked only where the "
                "voters before left the vote open: those are harder questions. Post the job with "
                "early_stop=false to compare voters",
                voters=", ".join(fewer),
            )
            if fewer
            else None
        )
        return PanelFigures(
            name=self._panel,
            voters=[self._figures_of(voter) for voter in self._voters],
            agreement=[
                VoterAgreement(
                    first=pair[0],
                    second=pair[1],
                    samples=self._pairs[pair],
                    equal=self._equal[pair] / self._pairs[pair] if self._pairs[pair] else None,
                )
                for pair in combinations(names, 2)
            ],
            against_best=against,
            notes=[note.message() for note in (unequal, reason) if note is not None],
        )

    def _figures_of(self, voter: VoterRecord) -> VoterFigures:
        samples = self._samples[voter.name]
        known = self._labelled and samples
        return VoterFigures(
            name=voter.name,
            model=voter.model,
            weight=voter.weight,
            samples=samples,
            invalid=self._invalid[voter.name],
            accuracy=_accuracy(self._right[voter.name], samples) if known else None,
            validation=voter.accuracy,
            note=voter.note,
            note_message=voter.note_message,
        )

    def _against_best(self) -> tuple[AgainstBest | None, Sentence | None]:
        if not self._labelled or not self._questions:
            return None, None
        if self._best is None:
            return None, Sentence(
                "no-best-voter",
                "the vote is compared with no single voter: the panel does not have the accuracy "
                "of every voter on validation rows, and on this job's own answers the best would "
                "look better than it is",
            )
        if self._asked[self._best] < self._questions:
            return None, Sentence(
                "best-voter-not-asked",
                "the vote is not compared with {voter}, the best voter on validation rows: early "
                "stopping left it out of some questions",
                voter=self._best,
            )
        pairs = [*self._outcomes.elements()]
        own, votes = [one for one, _ in pairs], [vote for _, vote in pairs]
        found = compare(own, votes)
        return AgainstBest(
            voter=self._best,
            questions=len(pairs),
            voters_accuracy=_accuracy(sum(own), len(own)),
            votes_accuracy=_accuracy(sum(votes), len(votes)),
            difference=found.difference.value,
            low=found.difference.low,
            high=found.difference.high,
            p_value=found.p_value,
        ), None


def _best(voters: Sequence[VoterRecord]) -> str | None:
    """The voter with the highest accuracy on validation rows, the first of equals; None if it is
    unknown for one.
    """
    shares = {v.name: v.accuracy.right / v.accuracy.total for v in voters if v.accuracy is not None}
    return max(shares, key=shares.__getitem__) if len(shares) == len(voters) else None


def _is_right(sample: Sample, answer: Answer) -> bool:
    return is_right(sample.label, answer.key, multiple=answer.multiple)


def _accuracy(correct: int, total: int) -> Accuracy:
    value, low, high = wilson(correct, total)
    return Accuracy(correct=correct, total=total, value=value, low=low, high=high)


def sums_of(
    panel: str | None, voters: Sequence[VoterRecord], *, labelled: bool
) -> VoterSums | None:
    """The sums for a job's panel; None if it has none, or has not started."""
    return VoterSums(panel, voters, labelled=labelled) if panel and voters else None
