"""How far jobs are, read from their journals.

Each journal's bytes are read once and only new ones later.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from threading import Lock

from orchestrator.journal import read_journal
from orchestrator.records import Answer, JobFile
from orchestrator.store import JobStore, all_asked

RATE_WINDOW = 200  # answers over which rates are measured


@dataclass
class Progress:
    """Counts over a job's journaled questions.

    Rates are over the last answers; None before the second.
    """

    total: int
    completed: int = 0
    failed: int = 0
    drawn: int = 0
    saved: int = 0
    correct: int = 0
    voted: int = 0
    agreement_sum: float = 0.0
    answered: list[int] = field(default_factory=list)
    recent: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=RATE_WINDOW))

    @property
    def done(self) -> int:
        return self.completed + self.failed

    @property
    def agreement(self) -> float | None:
        """Mean over the questions that had a vote; a forced answer had none."""
        return self.agreement_sum / self.voted if self.voted else None

    @property
    def questions_per_s(self) -> float | None:
        return self._per_s(len(self.recent) - 1)

    @property
    def samples_per_s(self) -> float | None:
        return self._per_s(sum(samples for _, samples in list(self.recent)[1:]))

    @property
    def eta_s(self) -> float | None:
        rate = self.questions_per_s
        return (self.total - self.done) / rate if rate else None

    def _per_s(self, count: int) -> float | None:
        if len(self.recent) < 2 or self.recent[-1][0] <= self.recent[0][0]:
            return None
        return count / (self.recent[-1][0] - self.recent[0][0])


class ProgressReader:
    """Progress of any job of a store; safe to call from several threads."""

    def __init__(self, store: JobStore) -> None:
        self._store = store
        self._lock = Lock()
        self._known: dict[str, _Known] = {}

    def read(self, job: JobFile) -> Progress:
        with self._lock:
            known = self._known.get(job.id)
            if known is None:
                known = self._known[job.id] = _Known(
                    Progress(job.questions, answered=[0] * job.shards), self._keys(job)
                )
            fresh: list[Answer] = []
            for shard in range(job.shards):
                answers, known.offsets[shard] = read_journal(
                    self._store.journal(job.id, shard), known.offsets.get(shard, 0)
                )
                fresh += answers
                known.progress.answered[shard] += len(answers)
            for answer in sorted(fresh, key=lambda answer: answer.finished_at):
                _count(answer, known)
            return known.progress

    def _keys(self, job: JobFile) -> dict[tuple[str, int], str | None]:
        return {
            asked.key: asked.question.answer for asked in all_asked(self._store.problems(job.id))
        }


@dataclass
class _Known:
    progress: Progress
    keys: dict[tuple[str, int], str | None]
    offsets: dict[int, int] = field(default_factory=dict)


def _count(answer: Answer, known: _Known) -> None:
    progress = known.progress
    if answer.answer is None:
        progress.failed += 1
    else:
        progress.completed += 1
        if answer.agreement is not None:
            progress.voted += 1
            progress.agreement_sum += answer.agreement
        progress.correct += answer.answer == known.keys[answer.id, answer.index]
    progress.drawn += len(answer.samples)
    progress.saved += answer.samples_saved
    progress.recent.append((answer.finished_at, len(answer.samples)))
