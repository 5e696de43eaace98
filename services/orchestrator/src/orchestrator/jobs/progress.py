"""How far jobs are: the counts of the shards that are done, and the journals of the others.

Each journal's bytes are read once and only new ones later.
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

RATE_WINDOW = 1000  # answers over which rates are measured


@dataclass(frozen=True)
class Progress:
    """Counts over a job's journaled questions.

    Rates are from the first of the last answers until now, so that they fall while none comes; None
    at first.
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
    """Progress of any job of a store; safe to call from several threads."""

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
        """The job has ended, or was opened again: what was read of it counts no more."""
        with self._lock:
            self._known.pop(job_id, None)

    def _news(self, job: JobFile, shard: int) -> Iterator[tuple[float, int]]:
        """Read a shard on; when its new answers came, and their numbers of samples."""
        known = self._known[job.id]
        if shard in known.done:
            return
        done = self._store.done_counts(job.id, shard)
        if done is None or shard in known.shards:  # what was begun is read to its end, for rates
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
                continue  # no record, or samples of a vote that is under way
            if shard.counting.add(answer):
                yield answer.finished_at, len(answer.samples)


def _rates(recent: deque[tuple[float, int]]) -> tuple[float | None, float | None]:
    """Questions and samples per second since the first answer in `recent`."""
    if len(recent) < 2 or recent[-1][0] <= recent[0][0]:
        return None, None
    seconds = max(recent[-1][0], time.time()) - recent[0][0]
    samples = sum(count for _, count in recent) - recent[0][1]
    return (len(recent) - 1) / seconds, samples / seconds
