"""Sums over the answers of a shard."""

from __future__ import annotations

from orchestrator.jobs.records import Answer, Counts


class Counting:
    """Adds up the answers of one shard. If a question has several, the first counts."""

    def __init__(self) -> None:
        self._seen: set[tuple[str, int]] = set()
        self._sums = dict.fromkeys(Counts.model_fields, 0.0)

    def add(self, answer: Answer) -> bool:
        """Count an answer. Returns False if its question was counted before."""
        key = (answer.id, answer.index)
        if key in self._seen:
            return False
        self._seen.add(key)
        sums = self._sums
        sums["failed" if answer.failed else "completed"] += 1
        sums["drawn"] += len(answer.samples)
        sums["saved"] += answer.samples_saved
        sums["correct"] += answer.right
        if answer.agreement is not None:
            sums["voted"] += 1
            sums["agreement_sum"] += answer.agreement
        return True

    def counts(self) -> Counts:
        return Counts.model_validate(self._sums)
