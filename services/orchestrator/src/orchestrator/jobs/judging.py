"""Applies a job's pinned calibration to its answers: confidence, sets of labels, abstention."""

from __future__ import annotations

from collections.abc import Mapping

from contract import LABELS
from orchestrator.jobs.calibration import Calibration
from orchestrator.jobs.confidence.conformal import cutoff, label_set
from orchestrator.jobs.confidence.votes import Vote, vote_of, votes_by_label
from orchestrator.jobs.reading import JobReader
from orchestrator.jobs.records import Answer, JobFile, JobSettings

ABSTAINED = "abstained"
_DIGITS = 6


class Judge:
    """Judges the answers of a job with a calibration."""

    def __init__(self, calibration: Calibration, settings: JobSettings) -> None:
        self.calibration = calibration
        self._abstain_below = settings.abstain_below
        coverage = settings.answer_sets
        self._limit = None if coverage is None else cutoff(calibration.right_scores, coverage)
        self._known: dict[Vote, float] = {}

    @classmethod
    def of(cls, reader: JobReader, job: JobFile) -> Judge | None:
        """None if no calibration is pinned to the job.

        Raises:
            JobDamagedError: it cannot be read.
        """
        pinned = reader.pinned_calibration(job.id)
        return None if pinned is None else cls(pinned, job.settings)

    def judged(self, answer: Answer, options: int) -> Answer:
        """The answer with its confidence, to a question with so many options."""
        vote = vote_of(answer, options)
        if vote is None or answer.answer is None:
            return answer
        if vote not in self._known:
            self._known[vote] = round(self.calibration.model.probability(vote), _DIGITS)
        confidence = self._known[vote]
        flags = answer.flags
        if self._abstain_below is not None and confidence < self._abstain_below:
            flags = (*flags, "abstained")
        return answer.model_copy(
            update={
                "confidence": confidence,
                "labels_set": self._set(answer, votes_by_label(answer), options),
                "flags": flags,
            }
        )

    def _set(
        self, answer: Answer, votes: Mapping[str, int], options: int
    ) -> tuple[str, ...] | None:
        if self._limit is None or answer.answer is None:
            return None
        name = f"{answer.id}\n{answer.index}"
        posterior = self.calibration.posterior
        return label_set(votes, LABELS[:options], answer.answer, name, posterior, self._limit)
