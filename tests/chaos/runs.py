"""One disturbed run: a job, one fault or two at random moments, and what came of it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from redis.exceptions import RedisError

from chaos.checks import Journals, Undisturbed, judge, read_undisturbed
from chaos.faults import NotNowError, Scene
from chaos.plans import Planned
from chaos.stack import Stack
from chaos.stillness import Stillness
from orchestrator.api.schemas import ENDED
from problem_files import problem_file

PROBLEMS = 30
QUESTIONS = 2 * PROBLEMS
FILE = problem_file(PROBLEMS)
LONGEST_HOLD_S = 14.0
# A job that stands still says why within this.
NOTE_LIMIT_S = 10.0
# After the last fault is gone, a job that is not complete by then is stuck.
STUCK_AFTER_S = 150.0
LONGEST_RUN_S = 300.0
LOOK_EVERY_S = 0.1
ASK_EVERY_S = 0.4


@dataclass
class Outcome:
    """What came of a run. Times are in seconds; None where there was nothing to measure.

    `recovery_s` is from the moment when the last fault was gone until each begun shard has a
    further answer, or until the next answer or the job's end if no shard was begun. `note_s` is the
    longest time that the job stood still before a note said why, `silence_s` the longest time that
    it stood still without one. `missed` counts faults that found nothing to strike before the job
    ended.
    """

    seed: int
    faults: list[str]
    at_answers: list[int]
    held_s: list[float]
    complaints: list[str] = field(default_factory=list)
    recovery_s: float | None = None
    note_s: float | None = None
    silence_s: float = 0.0
    doubled: int = 0
    lost: int = 0
    missed: int = 0
    seconds: float = 0.0

    @property
    def outcome(self) -> str:
        return "failed" if self.complaints else "whole"


class _Act:
    """A planned fault: waiting, done, or undone."""

    def __init__(self, planned: Planned) -> None:
        self.planned = planned
        self.done_at_s: float | None = None
        self.undone_at_s: float | None = None
        self.at_answers = 0
        self.missed = False

    @property
    def holds(self) -> bool:
        return self.done_at_s is not None and self.undone_at_s is None

    def step(self, scene: Scene, answers: int, *, is_noted: bool, has_ended: bool) -> None:
        fault, now = self.planned.fault, time.monotonic()
        if self.done_at_s is None and (answers >= self.planned.at_answers or has_ended):
            try:
                fault.do(scene)
            except (NotNowError, RedisError):
                if not has_ended:
                    return  # the next step tries again
                self.missed = True
            self.done_at_s, self.at_answers = time.monotonic(), answers
            if fault.undo is None:
                self.undone_at_s = self.done_at_s
        elif self.holds and self.done_at_s is not None:
            held_s, hold_s = now - self.done_at_s, self.planned.hold_s
            longest_s = LONGEST_HOLD_S if hold_s is None else hold_s
            if held_s >= longest_s or (hold_s is None and is_noted):
                self.undo(scene)

    def undo(self, scene: Scene) -> None:
        assert self.planned.fault.undo is not None
        self.planned.fault.undo(scene)
        self.undone_at_s = time.monotonic()


class Run:
    """A job under the faults of a plan."""

    def __init__(self, stack: Stack, seed: int, plans: list[Planned]) -> None:
        self.stack, self.seed = stack, seed
        self.acts = [_Act(planned) for planned in plans]
        words = [planned.fault.words for planned in plans]
        self._words = tuple(word for some in words for word in some) if all(words) else ()
        self.scene = Scene(stack, Random(seed), FILE)
        self._still = Stillness()
        self._ask_at_s = self._look_at_s = 0.0
        self._has_ended = self._is_noted = False
        self._begun: dict[str, int] | None = None  # when the last fault was gone
        self._recovered_at_s: float | None = None

    def go(self, undisturbed: Undisturbed) -> Outcome:
        began = time.monotonic()
        self.stack.samples.write_bytes(b"")
        self.stack.restart_at_once()
        self.journals = Journals(self.stack, self.stack.post(FILE))
        stuck = self._until_over()
        self._end_faults()
        outcome = self.outcome()
        others = [Journals(self.stack, job_id) for job_id in self.scene.jobs]
        for other in others:
            self._wait_for(other.job_id)
        if stuck:
            outcome.complaints.append(stuck)
        verdict = judge(self.stack, undisturbed, [self.journals, *others])
        outcome.complaints += verdict.complaints
        outcome.doubled, outcome.lost = verdict.doubled, verdict.lost
        if outcome.silence_s > NOTE_LIMIT_S:
            outcome.complaints.append(f"stood still for {outcome.silence_s:.1f} s without a note")
        outcome.seconds = round(time.monotonic() - began, 2)
        return outcome

    def _until_over(self) -> str | None:
        """Keep the stack up and do the faults until the job has ended. Returns a complaint if it
        does not end.
        """
        began = time.monotonic()
        while not (self._has_ended and all(act.undone_at_s for act in self.acts)):
            self.stack.tick()
            self._look()
            for act in self.acts:
                answers = len(self.journals.answered)
                act.step(self.scene, answers, is_noted=self._is_noted, has_ended=self._has_ended)
            if self._begun is None and all(act.undone_at_s for act in self.acts):
                self.journals.look()
                self._begun = self.journals.begun()
            gone_s = max((act.undone_at_s or float("inf") for act in self.acts), default=0.0)
            if time.monotonic() - gone_s > STUCK_AFTER_S:
                return f"not complete {STUCK_AFTER_S:.0f} s after the fault was gone"
            if time.monotonic() - began > LONGEST_RUN_S:
                return f"not complete after {LONGEST_RUN_S:.0f} s"
        return None

    def _look(self) -> None:
        now = time.monotonic()
        if now >= self._look_at_s or len(self.journals.answered) == QUESTIONS:
            self._look_at_s = now + LOOK_EVERY_S
            before = len(self.journals.answered)
            if self.journals.look():
                self._still.moved()
                if len(self.journals.answered) > before:
                    self._note_recovery()
        if now >= self._ask_at_s:
            self._ask_at_s = now + ASK_EVERY_S
            job = self.stack.job(self.journals.job_id)
            if job is None:
                self._still.moved()
                self._is_noted = False
            elif job["status"] in ENDED:
                self._has_ended = True
                self._note_recovery()
            else:
                self._is_noted = self._still.seen(job["note"], self._words)

    def _note_recovery(self) -> None:
        if self._recovered_at_s is not None or self._begun is None:
            return
        if self._has_ended or self.journals.have_moved(self._begun):
            self._recovered_at_s = time.monotonic()

    def _end_faults(self) -> None:
        """Undo what still holds, where a run was given up."""
        for act in self.acts:
            if act.holds:
                act.undo(self.scene)

    def outcome(self) -> Outcome:
        """What came of it so far, before it is judged."""
        gone_s = max((act.undone_at_s or 0.0 for act in self.acts), default=0.0)
        recovery_s = None
        if self._recovered_at_s is not None and self.acts:
            recovery_s = round(max(0.0, self._recovered_at_s - gone_s), 2)
        return Outcome(
            seed=self.seed,
            faults=[act.planned.fault.name for act in self.acts],
            at_answers=[act.at_answers for act in self.acts],
            held_s=[
                round((act.undone_at_s or 0.0) - (act.done_at_s or 0.0), 2) for act in self.acts
            ],
            recovery_s=recovery_s,
            note_s=None if self._still.note_s is None else round(self._still.note_s, 2),
            silence_s=round(self._still.silence_s, 2),
            missed=sum(act.missed for act in self.acts),
        )

    def _wait_for(self, job_id: str) -> None:
        try:
            self.stack.until(lambda: has_ended(self.stack, job_id), STUCK_AFTER_S)
        except TimeoutError:
            return  # the verdict says that it is not complete


def run_undisturbed(stack: Stack) -> Undisturbed:
    """A job that nothing happens to.

    Raises:
        TimeoutError: it does not end.
    """
    stack.samples.write_bytes(b"")
    job_id = stack.post(FILE)
    stack.until(lambda: has_ended(stack, job_id), STUCK_AFTER_S)
    found = read_undisturbed(stack, job_id)
    assert found.questions == QUESTIONS, f"it answered {found.questions} questions"
    clean_up(stack)
    return found


def has_ended(stack: Stack, job_id: str) -> bool:
    job = stack.job(job_id)
    return job is not None and job["status"] in ENDED


def clean_up(stack: Stack) -> None:
    """Delete all jobs, and wait until the stack is as before the run.

    Raises:
        TimeoutError: it is not healthy within a minute.
    """
    stack.until(stack.is_healthy, 60)
    for path in (stack.data / "jobs").glob("job_*"):
        stack.delete(path.name)


def keep_evidence(stack: Stack, outcome: Outcome, folder: Path) -> None:
    stack.keep_evidence(folder)
    (folder / "outcome.txt").write_text(f"{outcome}\n")
