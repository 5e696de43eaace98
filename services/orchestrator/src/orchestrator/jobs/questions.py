"""The questions of one job for a reader: filtered, sorted, one page at a time.

The index holds a short record per question and no samples: the position of its row in the posted
file, and of its answer in a journal. While the job runs, the index reads new lines of the journals.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from operator import attrgetter
from threading import Lock
from typing import Literal

from pydantic import BaseModel, ValidationError

from contract import LABELS, Question, iter_problems, label_place, labels_place
from contract.files.jsonl import read_lines
from orchestrator.errors import QuestionNotFoundError
from orchestrator.jobs.comparison import Verdict
from orchestrator.jobs.journal import journal_lines
from orchestrator.jobs.judging import Judge
from orchestrator.jobs.rates import RatePoint, rate_points
from orchestrator.jobs.records import Answer, Flag, JobFile, Sample, StartFile
from orchestrator.jobs.report import AnswerSums
from orchestrator.jobs.report_models import Sums
from orchestrator.jobs.store import JobStore

SHORT_CHARS = 140
LOW_AGREEMENT = 2 / 3
KEPT_JOBS = 4
# An index takes about 450 bytes a question.
KEPT_QUESTIONS = 1_000_000
KEPT_SEARCHES = 8

_Flagged = Literal["tie", "forced", "resampled", "unpermuted", "cut", "abstained"]
Show = Literal["wrong", "right", _Flagged, "low", "failed", "open"]
Order = Literal["position", "agreement", "confidence"]


class QuestionRow(BaseModel):
    """A question's short form. `position` counts from 0 in the posted file; `id` and `index` name
    the problem's row and the question in it. `text` is the question's beginning. Several labels are
    written together ("AC"). `right` is None while the question is open and without a key, and
    `confidence` without a calibration.
    """

    position: int
    id: str
    index: int
    text: str
    state: Literal["answered", "cut", "failed", "open"]
    answer: str | None
    key: str | None
    right: bool | None
    agreement: float | None
    confidence: float | None = None
    flags: tuple[Flag, ...]


class QuestionList(BaseModel):
    """`total` counts the questions that match the filters; `data` holds one page of them, from
    `offset` on.
    """

    total: int
    offset: int
    data: list[QuestionRow]


class QuestionDetail(BaseModel):
    """A question with its answer, if it has one yet.

    `places` has the start and end of the label in each sample's text, in characters.
    """

    row: QuestionRow
    problem: str
    question: str
    options: list[str]
    answer: Answer | None
    places: list[tuple[int, int] | None]


class Figures(BaseModel):
    """The sums over the answers so far, and the rate at which they came."""

    sums: Sums
    rate: list[RatePoint]


@dataclass(slots=True)
class _Entry:
    position: int
    id: str
    index: int
    text: str
    line: int
    line_offset: int
    key: str | None
    options: int
    answered: bool = False
    answer: str | None = None
    right: bool = False
    agreement: float | None = None
    confidence: float | None = None
    flags: tuple[Flag, ...] = ()
    shard: int = 0
    answer_offset: int = 0

    def row(self) -> QuestionRow:
        state: Literal["answered", "failed", "open"] = "open"
        if self.answered:
            state = "failed" if self.answer is None else "answered"
        return QuestionRow(
            position=self.position,
            id=self.id,
            index=self.index,
            text=self.text,
            state=state,
            answer=self.answer,
            key=self.key,
            right=self.right if self.answered and self.key is not None else None,
            agreement=self.agreement,
            confidence=self.confidence,
            flags=self.flags,
        )


FILTERS: dict[Show, Callable[[_Entry], bool]] = {
    "wrong": lambda e: e.answered and e.key is not None and not e.right,
    "right": lambda e: e.right,
    "tie": lambda e: "tie" in e.flags,
    "forced": lambda e: "forced" in e.flags,
    "resampled": lambda e: "resampled" in e.flags,
    "unpermuted": lambda e: "unpermuted" in e.flags,
    "cut": lambda e: "cut" in e.flags,
    "abstained": lambda e: "abstained" in e.flags,
    "low": lambda e: e.agreement is not None and e.agreement <= LOW_AGREEMENT,
    "failed": lambda e: e.answered and e.answer is None,
    "open": lambda e: not e.answered,
}


@dataclass
class QuestionIndex:
    """The index of one job. Not thread-safe: callers hold `reading` while they use it."""

    store: JobStore
    job: JobFile
    reading: Lock = field(default_factory=Lock)

    def __post_init__(self) -> None:
        self._sums = AnswerSums(self.job, self._started)
        self._finished_at: list[float] = []
        self._judge: Judge | None = None
        self._offsets = [0] * len(self.job.shards)
        self._searches: OrderedDict[str, frozenset[int]] = OrderedDict()
        self._entries: list[_Entry] = []
        with self.store.rows(self.job.id).open("rb") as file:
            for problem in iter_problems(read_lines(file)):
                for index, question in enumerate(problem.questions):
                    entry = _Entry(
                        position=len(self._entries),
                        id=problem.id,
                        index=index,
                        text=question.text[:SHORT_CHARS],
                        line=problem.line,
                        line_offset=problem.offset,
                        key=question.answer,
                        options=len(question.options),
                    )
                    self._entries.append(entry)
        self._by_key = {(entry.id, entry.index): entry for entry in self._entries}

    def _started(self) -> StartFile | None:
        return self.store.started(self.job.id)

    def read_on(self) -> None:
        """Read the lines that were journaled since the last call."""
        for shard in range(len(self.job.shards)):
            begin = self._offsets[shard]
            for line, end in journal_lines(self.store.journal(self.job.id, shard), begin):
                try:
                    answer = Answer.model_validate_json(line)
                    entry = self._by_key[answer.id, answer.index]
                except (ValidationError, KeyError):
                    pass  # not a record, or samples of an open vote
                else:
                    if not entry.answered:
                        self._take(entry, answer, shard, begin)
                begin = end
            self._offsets[shard] = begin

    def _take(self, entry: _Entry, answer: Answer, shard: int, offset: int) -> None:
        if not self._finished_at:  # pinned before the first answer
            self._judge = Judge.of(self.store, self.job)
        answer = self._judge.judged(answer, entry.options) if self._judge else answer
        entry.answered, entry.right, entry.confidence = True, answer.right, answer.confidence
        entry.answer, entry.agreement, entry.flags = answer.answer, answer.agreement, answer.flags
        entry.shard, entry.answer_offset = shard, offset
        self._sums.count(answer)
        self._finished_at.append(answer.finished_at)

    def list(
        self,
        show: list[Show],
        label: str | None,
        text: str,
        order: Order,
        offset: int,
        limit: int,
    ) -> QuestionList:
        """The questions that match every filter."""
        tests = [FILTERS[name] for name in show]
        holding = self._holding(text.casefold()) if text else None
        found = [
            entry
            for entry in self._entries
            if all(test(entry) for test in tests)
            and (label is None or entry.answer == label)
            and (holding is None or entry.position in holding)
        ]
        if order != "position":
            value = attrgetter(order)
            found.sort(key=lambda e: (value(e) is None, value(e)))
        rows = [entry.row() for entry in found[offset : offset + limit]]
        return QuestionList(total=len(found), offset=offset, data=rows)

    def _holding(self, text: str) -> frozenset[int]:
        """Positions of the questions with `text` in their problem, text, options or id."""
        if text not in self._searches:
            self._searches[text] = frozenset(self._search(text))
            if len(self._searches) > KEPT_SEARCHES:
                self._searches.popitem(last=False)
        return self._searches[text]

    def _search(self, text: str) -> Iterator[int]:
        entries = iter(self._entries)
        with self.store.rows(self.job.id).open("rb") as file:
            for problem in iter_problems(file):
                of_all = text in f"{problem.id}\n{problem.text}".casefold()
                for question in problem.questions:
                    entry = next(entries)
                    own = "\n".join((question.text, *question.options))
                    if of_all or text in own.casefold():
                        yield entry.position

    def verdicts(self) -> dict[tuple[str, int], Verdict]:
        """The answers so far, by the problem's id and the question's index."""
        return {
            (e.id, e.index): Verdict(e.position, e.answer, e.key, self.job.settings.multiple)
            for e in self._entries
            if e.answered
        }

    def detail(self, position: int) -> QuestionDetail:
        """One question in full.

        Raises:
            QuestionNotFoundError: the file has fewer questions.
        """
        if not 0 <= position < len(self._entries):
            raise QuestionNotFoundError(position, len(self._entries))
        entry = self._entries[position]
        with self.store.rows(self.job.id).open("rb") as file:
            file.seek(entry.line_offset)
            problem = next(iter_problems(islice(file, 1), first_line=entry.line))
        question = problem.questions[entry.index]
        answer = self._answer(entry) if entry.answered else None
        patterns = self._patterns()
        samples = answer.samples if answer else ()
        place = labels_place if self.job.settings.multiple else label_place
        return QuestionDetail(
            row=entry.row(),
            problem=problem.text,
            question=question.text,
            options=list(question.options),
            answer=answer,
            places=[
                place(s.text, _options_seen(question, s), patterns(s)) if s.label else None
                for s in samples
            ],
        )

    def _patterns(self) -> Callable[[Sample], Sequence[str]]:
        """How the label of a sample is read, by the format of its voter."""
        panel = self.store.panel(self.job.id)
        if panel is None:
            of_job = self.store.prompt_format(self.job.id).label_patterns
            return lambda sample: of_job
        of_voter = {voter.name: voter.format.label_patterns for voter in panel.voters}
        return lambda sample: of_voter.get(sample.voter, ())

    def _answer(self, entry: _Entry) -> Answer:
        journal = self.store.journal(self.job.id, entry.shard)
        line, _ = next(journal_lines(journal, entry.answer_offset))
        answer = Answer.model_validate_json(line)
        return self._judge.judged(answer, entry.options) if self._judge else answer

    def figures(self, *, ended: bool) -> Figures:
        return Figures(
            sums=self._sums.sums(),
            rate=rate_points(self._finished_at, None if ended else time.time()),
        )


def _options_seen(question: Question, sample: Sample) -> list[str]:
    """The options in the order in which this sample saw them; as posted if it is damaged."""
    order = sample.order or ""
    if sorted(order) != [*question.labels]:
        order = question.labels
    return [question.options[LABELS.index(label)] for label in order]


class QuestionReader:
    """The indexes of the jobs that were read most recently. Safe to call from several threads."""

    def __init__(self, store: JobStore) -> None:
        self._store = store
        self._lock = Lock()
        self._indexes: OrderedDict[str, QuestionIndex] = OrderedDict()

    def forget(self, job_id: str) -> None:
        """Drop a job's index, because the job was reopened or deleted."""
        with self._lock:
            self._indexes.pop(job_id, None)

    @contextmanager
    def read(self, job: JobFile) -> Iterator[QuestionIndex]:
        """Yield the job's index with all journaled lines; other threads wait until the block
        ends.
        """
        with self._lock:
            index = self._indexes.get(job.id)
            if index is None:
                index = self._indexes[job.id] = QuestionIndex(self._store, job)
            self._indexes.move_to_end(job.id)
            while len(self._indexes) > 1 and (
                len(self._indexes) > KEPT_JOBS
                or sum(kept.job.questions for kept in self._indexes.values()) > KEPT_QUESTIONS
            ):
                self._indexes.popitem(last=False)
        with index.reading:
            index.read_on()
            yield index
