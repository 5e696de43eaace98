"""The progress of jobs, from the counts of done shards and the journals of the others.

Each byte of a journal is read only once.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from threading import Lock

from pydantic import ValidationError

from orchestrator.jobs.counting import Counting
from orchestrator.jobs.journal import journal_lines
from orchestrator.jobs.records import Answer, Counts, JobFile
from orchestrator.jobs.store import JobStore

RATE_WINDOW = 1000  # rates are measured over this many answers


@dataclass(frozen=True)
class Progress:
    """Counts over a job's journaled questions.

    Rates are measured from the first of the last `RATE_WINDOW` answers until now, so they fall
    while no answer comes. They are None at first.
    """

    counts: Counts
    questions_per_s: float | None
    samples_per_s: float | None

    def eta_s(self, total: int) -> float | None:
        return (total - self.counts.done) / self.questions_per_s if self.questions_per_s else None


@dataclass
class _Shard:
    counting: Counting = field(default_factory=Counting)
    offset: int = 0


@dataclass
class _Known:
    done: dict[int, Counts] = field(default_factory=dict)
    shards: dict[int, _Shard] = field(default_factory=dict)
    recent: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=RATE_WINDOW))


class ProgressReader:
    """The progress of a store's jobs. Safe to call from several threads."""

    def __init__(self, store: JobStore) -> None:
        self._store = store
        self._lock = Lock()
        self._known: dict[str, _Known] = {}

    def read(self, job: JobFile) -> Progress:
        with self._lock:
            known = self._known.setdefault(job.id, _Known())
            fresh = sorted(
                moment for shard in range(len(job.shards)) for moment in self._news(job, shard)
            )
            known.recent.extend(fresh)
            counts = sum(known.done.values(), Counts())
            counts = sum((shard.counting.counts() for shard in known.shards.values()), counts)
            return Progress(counts, *_rates(known.recent))

    def forget(self, job_id: str) -> None:
        """Drop the data that was read of a job, because it has ended or was reopened."""
        with self._lock:
            self._known.pop(job_id, None)

    def _news(self, job: JobFile, shard: int) -> Iterator[tuple[float, int]]:
        """Read a shard's new lines. Yields the time and the number of samples of each new
        answer.
        """
        known = self._known[job.id]
        if shard in known.done:
            return
        done = self._store.done_counts(job.id, shard)
        if done is None or shard in known.shards:  # one partly read is read to its end, for rates
            yield from self._read_on(job, shard, known.shards.setdefault(shard, _Shard()))
        if done is not None:
            known.done[shard] = done
            known.shards.pop(shard, None)

    def _read_on(self, job: JobFile, number: int, shard: _Shard) -> Iterator[tuple[float, int]]:
        path = self._store.journal(job.id, number)
        for line, end in journal_lines(path, shard.offset):
            shard.offset = end
            try:
                answer = Answer.model_validate_json(line)
            except ValidationError:
                continue  # not a record, or samples of an open vote
            if shard.counting.add(answer):
                yield answer.finished_at, len(answer.samples)


def _rates(recent: deque[tuple[float, int]]) -> tuple[float | None, float | None]:
    """Questions and samples per second since the first answer in `recent`."""
    if len(recent) < 2 or recent[-1][0] <= recent[0][0]:
        return None, None
    seconds = max(recent[-1][0], time.time()) - recent[0][0]
    samples = sum(count for _, count in recent) - recent[0][1]
    return (len(recent) - 1) / seconds, samples / seconds
