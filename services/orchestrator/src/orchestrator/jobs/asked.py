"""A question with its place in the file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from contract import Problem, Question


@dataclass(frozen=True)
class Asked:
    """A question's place: the problem's row, and the question's index in it (from 0)."""

    problem: Problem
    index: int

    @property
    def question(self) -> Question:
        return self.problem.questions[self.index]

    @property
    def key(self) -> tuple[str, int]:
        return self.problem.id, self.index


def all_asked(problems: Iterable[Problem]) -> Iterator[Asked]:
    return (
        Asked(problem, index) for problem in problems for index in range(len(problem.questions))
    )
