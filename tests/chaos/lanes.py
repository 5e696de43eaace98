"""Stacks side by side, each in a process of its own, because runs mostly wait."""

from __future__ import annotations

import multiprocessing
import queue
import shutil
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import NamedTuple

from chaos.checks import Undisturbed
from chaos.plans import plan
from chaos.runs import QUESTIONS, Outcome, Run, clean_up, keep_evidence, run_undisturbed
from chaos.stack import Stack, interrupt_once

END_TIMEOUT_S = 60.0


class Wanted(NamedTuple):
    """One run to be done: its seed, and whether it has two faults."""

    seed: int
    pair: bool


def run_all(wanted: list[Wanted], lanes: int, failures: Path) -> Iterator[tuple[Wanted, Outcome]]:
    """Do all runs, and yield what came of each as it ends.

    The evidence of a failed run is copied to a folder of its own under `failures`.

    Raises:
        RuntimeError: a lane ended by itself.
    """
    context = multiprocessing.get_context("spawn")
    todo: multiprocessing.Queue[Wanted | None] = context.Queue()
    done: multiprocessing.Queue[tuple[Wanted, Outcome]] = context.Queue()
    for one in wanted:
        todo.put(one)
    folder = Path(tempfile.mkdtemp(prefix="quorum-chaos-", dir="/tmp"))
    started = []
    for number in range(lanes):
        todo.put(None)
        lane = context.Process(target=work, args=(folder / str(number), todo, done, failures))
        lane.start()
        started.append(lane)
    try:
        for _ in wanted:
            yield _next(done, started)
    except BaseException:
        for lane in started:
            lane.terminate()
        raise
    finally:
        for lane in started:  # each ends its stack first
            lane.join(END_TIMEOUT_S)
        shutil.rmtree(folder, ignore_errors=True)


def _next(
    done: multiprocessing.Queue[tuple[Wanted, Outcome]], lanes: Sequence[BaseProcess]
) -> tuple[Wanted, Outcome]:
    while True:
        try:
            return done.get(timeout=1)
        except queue.Empty:
            if any(lane.exitcode for lane in lanes):
                raise RuntimeError("a lane failed; its traceback is above") from None


def work(
    folder: Path,
    todo: multiprocessing.Queue[Wanted | None],
    done: multiprocessing.Queue[tuple[Wanted, Outcome]],
    failures: Path,
) -> None:
    """A lane: a stack is kept up from run to run; after a failed run, a new one is started."""
    interrupt_once()
    number = 0
    try:
        one = todo.get()
        while one is not None:
            number += 1
            with Stack(folder / str(number)) as stack:
                undisturbed = run_undisturbed(stack)
                one = _use(stack, undisturbed, one, todo, done, failures)
            shutil.rmtree(folder / str(number), ignore_errors=True)
    except KeyboardInterrupt:
        return


def _use(
    stack: Stack,
    undisturbed: Undisturbed,
    one: Wanted | None,
    todo: multiprocessing.Queue[Wanted | None],
    done: multiprocessing.Queue[tuple[Wanted, Outcome]],
    failures: Path,
) -> Wanted | None:
    """Do runs on one stack. Returns the next run if the stack is of no more use."""
    while one is not None:
        began = time.monotonic()
        run = Run(stack, one.seed, plan(one.seed, QUESTIONS, pair=one.pair))
        try:
            outcome = run.go(undisturbed)
            clean_up(stack)
        except Exception as error:  # noqa: BLE001 # whatever it is, this run failed by it
            traceback.print_exc()
            outcome = run.outcome()
            outcome.complaints.append(f"{type(error).__name__}: {error}")
        outcome.seconds = round(time.monotonic() - began, 2)
        if outcome.complaints:
            name = f"{'pair' if one.pair else 'single'}-{one.seed}"
            keep_evidence(stack, outcome, failures / name)
        done.put((one, outcome))
        one = todo.get()
        if outcome.complaints:
            return one
    return None
