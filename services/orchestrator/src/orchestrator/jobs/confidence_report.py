"""Sums up how far a job's answers can be trusted, problem by problem."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from contract import Problem, Sentence, coded
from orchestrator.jobs.calibration import Calibration, agreement_of, distributions, length_of
from orchestrator.jobs.confidence.forecasting import (
    Guess,
    Keyed,
    expected_half_width,
    forecast,
    whom_to_label,
    with_some_keys,
)
from orchestrator.jobs.confidence.reliability import (
    calibration_error,
    coverage_curve,
    reliability,
)
from orchestrator.jobs.confidence.shifts import Shift, shift
from orchestrator.jobs.confidence.votes import Vote, vote_of
from orchestrator.jobs.confidence_models import (
    ConfidenceReport,
    Forecast,
    KeyedEstimate,
    LabelProposal,
    QuestionName,
    UsedCalibration,
)
from orchestrator.jobs.judging import Judge
from orchestrator.jobs.records import Answer, JobFile

# A hundred keys give a half width of about 8 points at an accuracy of 0.8.
TO_LABEL = 100
# With fewer, the interval by normal approximation would be too narrow.
FEWEST_KEYS, FEWEST_KEYED_PROBLEMS = 30, 10
NONE = Sentence(
    "confidence-none",
    "no calibration held for this job's model and settings when it started, so its answers have no "
    "confidence; agreement is only the share of votes. Post a file with keys with the same "
    "settings, then run quorum calibrate JOB with its id: jobs that start after that have one",
)


class ConfidenceSums:
    """Takes a job's judged answers in the posted order. Holds a few numbers for each."""

    def __init__(self, job: JobFile, judge: Judge | None) -> None:
        self._job, self._judge = job, judge
        self._predicted: list[float] = []  # confidence or agreement, 0 without an answer
        self._answered: list[tuple[float, bool]] = []
        self._names: list[tuple[str, int]] = []
        self._without_key: list[int] = []
        self._keyed: list[Keyed] = []
        self._unkeyed: list[Guess] = []
        self._votes: Counter[Vote] = Counter()
        self._agreement: list[float] = []
        self._length: list[float] = []
        self._problems = 0
        self._abstained = 0
        self._set_sizes: Counter[int] = Counter()
        self._in_set = 0

    def add(self, problem: Problem, answers: Sequence[Answer]) -> None:
        if not answers:
            return
        self._problems += 1
        keyed, unkeyed = Keyed(0, 0, 0.0), Guess(0, 0.0)
        for answer in answers:
            found = self._count(answer, len(problem.questions[answer.index].options))
            if answer.key is None:
                self._without_key.append(len(self._names) - 1)
                unkeyed = Guess(unkeyed.questions + 1, unkeyed.confidence + found)
            else:
                right = keyed.right + answer.right
                keyed = Keyed(keyed.questions + 1, right, keyed.confidence + found)
        self._keyed += [keyed] if keyed.questions else []
        self._unkeyed += [unkeyed] if unkeyed.questions else []

    def _count(self, answer: Answer, options: int) -> float:
        """What stands for the question's answer being right, in [0, 1]."""
        self._names.append((answer.id, answer.index))
        value = answer.confidence if self._judge else agreement_of(answer)
        value = 0.0 if answer.failed or value is None else value
        self._predicted.append(value)
        vote = vote_of(answer, options)
        if vote is not None:
            self._votes[vote] += 1
            self._answered.append((value, answer.right))
            self._agreement.append(agreement_of(answer))
            self._length.append(length_of(answer))
        self._abstained += "abstained" in answer.flags
        if answer.labels_set is not None:
            self._set_sizes[len(answer.labels_set)] += 1
            self._in_set += any(label in answer.labels_set for label in answer.key or "")
        return value

    def report(self) -> ConfidenceReport:
        if not self._names or self._judge is None:
            none = ConfidenceReport(
                calibration=None, note=None if self._judge else NONE, with_keys=self._with_keys()
            )
            none.note_message = coded(none.note)
            none.label_next = self._proposal(1.0)
            return none
        calibration = self._judge.calibration
        confidences = [p for p, _ in self._answered]
        right = [y for _, y in self._answered] if self._job.labelled else None
        shifts = list(self._shifts(calibration))
        notes = [told(found, calibration.job) for found in shifts]
        has_sets = self._set_sizes and self._job.labelled
        return ConfidenceReport(
            calibration=_used(calibration),
            forecast=None if self._job.labelled else self._forecast(calibration),
            with_keys=self._with_keys(),
            label_next=self._proposal(calibration.design_effect),
            shifts=shifts,
            shift_notes=[str(note) for note in notes],
            shift_messages=[note.message() for note in notes],
            abstain_below=self._job.settings.abstain_below,
            abstained=self._abstained,
            set_sizes=dict(sorted(self._set_sizes.items())),
            sets_with_key=self._in_set if has_sets else None,
            coverage=coverage_curve(confidences, right, len(self._names)),
            reliability=reliability(confidences, right) if right else [],
            calibration_error=calibration_error(confidences, right)[0] if right else None,
        )

    def _forecast(self, calibration: Calibration) -> Forecast:
        means = [
            sum(n * fit.probability(vote) for vote, n in self._votes.items()) / len(self._names)
            for fit in calibration.replicates
        ]
        found = forecast(self._predicted, means, calibration.design_effect)
        return Forecast(**found._asdict())

    def _with_keys(self) -> KeyedEstimate | None:
        """None if all questions have keys, whose accuracy the report has, or too few have one."""
        keys = sum(p.questions for p in self._keyed)
        if self._job.labelled or keys < FEWEST_KEYS or len(self._keyed) < FEWEST_KEYED_PROBLEMS:
            return None
        found = with_some_keys(self._unkeyed, self._keyed)
        return KeyedEstimate(
            **found._asdict(),
            keys=keys,
            predictor="confidence" if self._judge else "agreement",
        )

    def _proposal(self, design_effect: float) -> LabelProposal | None:
        chosen = whom_to_label(self._without_key, TO_LABEL, self._job.settings.seed)
        if not chosen:
            return None
        return LabelProposal(
            seed=self._job.settings.seed,
            half_width=expected_half_width(self._predicted, len(chosen), design_effect),
            questions=[
                QuestionName(id=name, index=index)
                for name, index in (self._names[position] for position in chosen)
            ],
        )

    def _shifts(self, calibration: Calibration) -> Iterable[Shift]:
        now = distributions(self._agreement, self._length, self._problems)
        for name, before in (("agreement", calibration.agreement), ("length", calibration.length)):
            if found := shift(name, before, now[name]):
                yield found


def told(found: Shift, job: str) -> Sentence:
    """A shift as a sentence, which names the job of the calibration."""
    if found.of == "agreement":
        return Sentence(
            "shift-agreement",
            "the votes of this job are not like those of the calibration's job {job}: mean "
            "agreement {now}, there {before} (distance {distance}, p {p}); the confidence may be "
            "off",
            job=job,
            now=f"{found.now:.3f}",
            before=f"{found.before:.3f}",
            distance=f"{found.distance:.2f}",
            p=_rare(found.p_value),
        )
    return Sentence(
        "shift-length",
        "the replies of this job are not as long as those of the calibration's job {job}: mean "
        "{now} characters, there {before} (distance {distance}, p {p}); the confidence may be off",
        job=job,
        now=f"{found.now:.0f}",
        before=f"{found.before:.0f}",
        distance=f"{found.distance:.2f}",
        p=_rare(found.p_value),
    )


def _rare(p_value: float) -> str:
    return "< 1e-9" if p_value < 1e-9 else f"= {p_value:.1g}"


def _used(calibration: Calibration) -> UsedCalibration:
    return UsedCalibration(
        id=calibration.id,
        made_at=calibration.made_at,
        job=calibration.job,
        questions=calibration.questions,
        model=calibration.model.kind,
        calibration_error=calibration.calibration_error,
    )
