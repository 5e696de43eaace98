"""Compares two jobs over the same questions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from pydantic import BaseModel

from orchestrator.jobs.intervals import compare
from orchestrator.jobs.report import accuracy
from orchestrator.jobs.report_models import Accuracy
from orchestrator.jobs.scoring import is_right


class Verdict(NamedTuple):
    """One job's result for the question at `position` in its file."""

    position: int
    answer: str | None
    key: str | None
    multiple: bool = False

    def is_right(self, key: str | None) -> bool:
        return is_right(self.answer, key, multiple=self.multiple)


class Changed(BaseModel):
    """A question that the jobs answered differently, with its position in each job.

    `first_right` and `second_right` are None without a key.
    """

    id: str
    index: int
    key: str | None
    first: str | None
    second: str | None
    first_position: int
    second_position: int
    first_right: bool | None = None
    second_right: bool | None = None


class JobComparison(BaseModel):
    """The second job compared with the first, over the questions that both have.

    `difference` is the second job's accuracy minus the first's, with a 95 % interval (Newcombe
    1998, paired, method 10). `p_value` is from McNemar's exact two-sided test. Both are None
    without keys.
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


Verdicts = Mapping[tuple[str, int], Verdict]


def compare_jobs(one: Verdicts, two: Verdicts) -> JobComparison:
    """Compare two jobs' results. Questions are matched by their problem's id and their index in
    it.
    """
    shared = [question for question in one if question in two]
    changed = [_changed(q, one[q], two[q]) for q in shared if one[q].answer != two[q].answer]
    found = JobComparison(
        questions=len(shared),
        only_first=len(one) - len(shared),
        only_second=len(two) - len(shared),
        same_answer=len(shared) - len(changed),
        changed=changed,
    )
    keys = [one[q].key or two[q].key for q in shared]
    if shared and all(keys):
        right = [one[q].is_right(key) for q, key in zip(shared, keys, strict=True)]
        right_too = [two[q].is_right(key) for q, key in zip(shared, keys, strict=True)]
        (value, low, high), p_value = compare(right, right_too)
        found.first = accuracy(sum(right), len(right))
        found.second = accuracy(sum(right_too), len(right))
        found.difference, found.low, found.high, found.p_value = value, low, high, p_value
        found.gained = sum(b and not a for a, b in zip(right, right_too, strict=True))
        found.lost = sum(a and not b for a, b in zip(right, right_too, strict=True))
    return found


def _changed(question: tuple[str, int], one: Verdict, two: Verdict) -> Changed:
    key = one.key or two.key
    return Changed(
        id=question[0],
        index=question[1],
        key=one.key,
        first=one.answer,
        second=two.answer,
        first_position=one.position,
        second_position=two.position,
        first_right=None if key is None else one.is_right(key),
        second_right=None if key is None else two.is_right(key),
    )
