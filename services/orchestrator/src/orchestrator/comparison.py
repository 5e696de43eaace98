"""Two jobs over the same questions, side by side."""

from __future__ import annotations

import json
from collections.abc import Iterable

from pydantic import BaseModel

from orchestrator.intervals import compare
from orchestrator.report import Accuracy, accuracy


class Changed(BaseModel):
    """A question that the jobs answered differently."""

    id: str
    index: int
    key: str | None
    first: str | None
    second: str | None


class JobComparison(BaseModel):
    """The second job against the first, over the questions that both have.

    `difference` is accuracy of the second minus the first, with a 95 % interval (Newcombe 1998,
    paired, method 10); `p_value` is McNemar's exact, two-sided. Both are None without keys.
    """

    questions: int
    only_first: int
    only_second: int
    same_answer: int
    first: Accuracy | None = None
    second: Accuracy | None = None
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    p_value: float | None = None
    gained: int | None = None
    lost: int | None = None
    changed: list[Changed]


def compare_jobs(first: Iterable[str], second: Iterable[str]) -> JobComparison:
    """Compare the lines of two answers.jsonl."""
    one, two = _answers(first), _answers(second)
    shared = [question for question in one if question in two]
    changed = [
        Changed(id=q[0], index=q[1], key=one[q][1], first=one[q][0], second=two[q][0])
        for q in shared
        if one[q][0] != two[q][0]
    ]
    found = JobComparison(
        questions=len(shared),
        only_first=len(one) - len(shared),
        only_second=len(two) - len(shared),
        same_answer=len(shared) - len(changed),
        changed=changed,
    )
    keys = [one[q][1] or two[q][1] for q in shared]
    if shared and all(keys):
        right = [one[q][0] == key for q, key in zip(shared, keys, strict=True)]
        right_too = [two[q][0] == key for q, key in zip(shared, keys, strict=True)]
        (value, low, high), p_value = compare(right, right_too)
        found.first = accuracy(sum(right), len(right))
        found.second = accuracy(sum(right_too), len(right))
        found.difference, found.low, found.high, found.p_value = value, low, high, p_value
        found.gained = sum(b and not a for a, b in zip(right, right_too, strict=True))
        found.lost = sum(a and not b for a, b in zip(right, right_too, strict=True))
    return found


def _answers(lines: Iterable[str]) -> dict[tuple[str, int], tuple[str | None, str | None]]:
    """Each question's answer and key."""
    rows = (json.loads(line) for line in lines if line.strip())
    return {(row["id"], row["index"]): (row["answer"], row["key"]) for row in rows}
