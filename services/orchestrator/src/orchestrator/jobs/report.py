"""The report of a finished job, report.json, summed answer by answer.

Only sums and the list of missed questions are in memory, never the answers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import cached_property

from contract import Problem, coded
from orchestrator.jobs.confidence_models import ConfidenceReport
from orchestrator.jobs.cutting import CutSums
from orchestrator.jobs.intervals import clustered, wilson
from orchestrator.jobs.records import Answer, JobFile, StartFile
from orchestrator.jobs.recounting import Recount, answer_by, first_draw, weights_of
from orchestrator.jobs.report_models import (
    Accuracy,
    AgreementLevel,
    ClusteredInterval,
    MissedProblem,
    MissedQuestion,
    Provenance,
    Report,
    Sums,
    VotesAccuracy,
)
from orchestrator.jobs.scoring import AS_SETS, KeySums, is_right
from orchestrator.jobs.vote import Weigh, in_panel, weigher
from orchestrator.jobs.vote_temperature import as_started
from orchestrator.jobs.voters import VoterSums, sums_of

# Upper edges of the levels of agreement; each edge belongs to the level below it.
LEVELS = (0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.9999, 1.0)


class AnswerSums:
    """Adds up answers one by one, in any order. `started` reads start.json, which is there before
    the first answer.
    """

    def __init__(self, job: JobFile, started: Callable[[], StartFile | None]) -> None:
        self._started = started
        self._settings = job.settings
        self._labelled = job.labelled
        self._multiple = job.settings.multiple
        self._key_sums = KeySums()
        k = job.settings.samples
        self._votes = sorted({*range(1, k + 1, 2), k})
        self._right_by_votes: Counter[int] = Counter()
        self._right_first = 0
        self._levels = [[0, 0] for _ in LEVELS]  # questions, right ones
        self._labels: Counter[str] = Counter()
        self._keys: Counter[str] = Counter()
        self._flags: Counter[str] = Counter(
            tie=0, forced=0, resampled=0, early_stop=0, unpermuted=0, cut=0
        )
        if self._multiple:
            self._flags["one_label"] = 0
        self._at_once = 0
        self._samples: Counter[str] = Counter(drawn=0, saved=0, invalid=0)
        self._tokens: Counter[str] = Counter(prompt=0, completion=0)
        self._cut = CutSums()
        self._recount = Recount(job.settings, started) if job.labelled else None
        self._agreement_sum = 0.0
        self._voted = 0

    @cached_property
    def _weigh(self) -> Weigh:
        start = self._started()
        settings = as_started(self._settings, start)
        of_sample = weigher(settings.vote, settings.vote_temperature)
        return in_panel(of_sample, weights_of(start))

    @cached_property
    def _voters(self) -> VoterSums | None:
        """Kept once it was asked for; so not before there is an answer, and thus a start.json."""
        start = self._started()
        return sums_of(self._settings.panel, start.voters if start else (), labelled=self._labelled)

    def count(self, answer: Answer) -> None:
        right = answer.right
        self._flags.update(answer.flags)
        self._cut.count(answer)
        if self._recount is not None:
            self._recount.count(answer)
        self._key_sums.count(answer.answer, answer.key)
        if self._voters is not None:
            self._voters.count(answer)
        self._at_once += answer.at_once
        self._samples["drawn"] += len(answer.samples)
        self._samples["saved"] += answer.samples_saved
        self._samples["invalid"] += sum(sample.label is None for sample in answer.samples)
        self._tokens["prompt"] += answer.prompt_tokens
        self._tokens["completion"] += sum(sample.tokens for sample in answer.samples)
        self._labels["none" if answer.answer is None else answer.answer] += 1
        if answer.key is not None:
            self._keys[answer.key] += 1
        if answer.agreement is not None:
            self._agreement_sum += answer.agreement
            self._voted += 1
            level = next(i for i, edge in enumerate(LEVELS) if answer.agreement <= edge)
            self._levels[level][0] += 1
            self._levels[level][1] += right
        self._right_first += self._is_right(first_draw(answer), answer)
        for votes in self._votes[:-1]:
            voted = answer_by(votes, answer, self._weigh)
            self._right_by_votes[votes] += self._is_right(voted, answer)
        self._right_by_votes[self._votes[-1]] += right

    def _is_right(self, label: str | None, answer: Answer) -> bool:
        return is_right(label, answer.key, multiple=self._multiple)

    def sums(self) -> Sums:
        start = self._started()
        failed = self._labels["none"]
        labels = {label: n for label, n in sorted(self._labels.items()) if label != "none"}
        total = failed + sum(labels.values())
        labelled = self._labelled and total > 0
        scoring = AS_SETS if self._multiple and labelled else None
        if not self._multiple:
            scoring = self._key_sums.any_of_several(total)
        edges = zip((0.0, *LEVELS), LEVELS, self._levels, strict=False)
        return Sums(
            answered=total - failed,
            failed=failed,
            accuracy=accuracy(self._right_by_votes[self._votes[-1]], total) if labelled else None,
            accuracy_by_votes=[
                VotesAccuracy(votes=votes, accuracy=accuracy(self._right_by_votes[votes], total))
                for votes in self._votes
            ]
            if labelled
            else [],
            accuracy_by_vote=self._recount.found() if self._recount is not None else [],
            accuracy_first_draw=accuracy(self._right_first, total) if labelled else None,
            options_f1=self._key_sums.options_f1() if self._multiple and labelled else None,
            several_right=self._key_sums.several,
            scoring=scoring,
            scoring_message=coded(scoring),
            cut=self._cut.found(start.max_tokens if start else None),
            agreement=self._agreement_sum / self._voted if self._voted else None,
            agreement_levels=[
                AgreementLevel(
                    above=above,
                    up_to=up_to,
                    questions=count,
                    accuracy=accuracy(right, count) if labelled else None,
                )
                for above, up_to, (count, right) in edges
                if count
            ],
            labels=labels,
            keys=dict(sorted(self._keys.items())),
            flags=dict(self._flags),
            votes_at_once=self._at_once,
            samples=dict(self._samples),
            tokens=dict(self._tokens),
            panel=self._voters.figures() if total and self._voters else None,
        )


class ReportBuilder:
    def __init__(self, job: JobFile, start: StartFile | None, finished_at: str) -> None:
        self._job = job
        self._start = start
        self._finished_at = finished_at
        self._sums = AnswerSums(job, lambda: start)
        self._clusters: list[tuple[int, int]] = []
        self._missed: list[MissedProblem] = []

    def add(self, problem: Problem, answers: Sequence[Answer]) -> None:
        """Count a problem's journaled answers."""
        for answer in answers:
            self._sums.count(answer)
        if self._job.labelled and answers:
            wrong = [a for a in answers if not a.right]
            self._clusters.append((len(answers) - len(wrong), len(answers)))
            if wrong:
                missed = [
                    MissedQuestion(
                        index=a.index, answer=a.answer, key=a.key or "", agreement=a.agreement
                    )
                    for a in wrong
                ]
                self._missed.append(
                    MissedProblem(id=problem.id, questions=len(problem.questions), missed=missed)
                )

    def build(self, confidence: ConfidenceReport) -> Report:
        job, started = self._job, self._start.started_at if self._start else None
        return Report(
            **self._sums.sums().model_dump(),
            job=job.id,
            created_at=job.created_at,
            finished_at=self._finished_at,
            seconds=_seconds(started, self._finished_at) if started else None,
            problems=job.problems,
            questions=job.questions,
            accuracy_by_problem=_by_problem(self._clusters) if self._clusters else None,
            missed=self._missed,
            confidence=confidence,
            provenance=Provenance(
                name=job.name,
                metadata=job.metadata,
                filename=job.filename,
                sha256=job.sha256,
                read_as=job.recognized.statement if job.recognized else None,
                settings=job.settings,
                start=self._start,
            ),
        )


def accuracy(correct: int, total: int) -> Accuracy:
    value, low, high = wilson(correct, total)
    return Accuracy(correct=correct, total=total, value=value, low=low, high=high)


def _by_problem(clusters: list[tuple[int, int]]) -> ClusteredInterval:
    estimate, effect = clustered(clusters)
    return ClusteredInterval(low=estimate.low, high=estimate.high, design_effect=effect)


def _seconds(start: str, end: str) -> float:
    return (datetime.fromisoformat(end) - datetime.fromisoformat(start)).total_seconds()
