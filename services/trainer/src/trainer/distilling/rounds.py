"""`trainer distill` from file to file: the journal, two rounds, progress, and the yield table."""

from __future__ import annotations

import asyncio
import csv
import logging
import time
import urllib.error
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress, TimeRemainingColumn
from rich.table import Table

from contract import PromptFormat, read_json, write_json
from contract.addresses import open_url
from trainer.data.examples import Example
from trainer.data.preparing import write_examples
from trainer.distilling.ask import Failure, draw
from trainer.distilling.selection import (
    Drawn,
    Journal,
    Teacher,
    Wanted,
    Yield,
    analysis_of,
    never_right,
    question_key,
    select,
    wanted,
)
from trainer.errors import TrainerError

log = logging.getLogger("trainer")

SAID_EVERY_S = 10.0


def distill(
    examples: Sequence[Example],
    fmt: PromptFormat,
    teacher: Teacher,
    out: Path,
    *,
    keep: int,
    hint: bool,
    console: Console,
) -> list[Yield]:
    """Draw what is missing, then write `out` (JSONL with analyses) and, beside it, the yield table
    as `.yield.tsv`; samples are kept in `.samples.jsonl`. Questions that the teacher refused, or
    answered with what cannot be read, are in `.failures.jsonl`; the same call asks them again.

    Raises:
        TrainerError: the teacher failed; the same call goes on from what was drawn.
    """
    if fmt.style != "analysis":
        raise TrainerError(
            "distill writes analyses, and this recipe trains bare labels: set format.style = "
            '"analysis"'
        )
    failures: dict[str, Failure] = {}
    journal = Journal(out.with_suffix(".samples.jsonl"), teacher, fmt)
    try:
        _round(examples, examples, fmt, teacher, journal, failures, console, hinted=False)
        taught, yields = select(examples, journal.drawn, fmt, keep)
        if hint and (missed := never_right(examples, yields, failures)):
            _round(examples, missed, fmt, teacher, journal, failures, console, hinted=True)
            taught, yields = select(examples, journal.drawn, fmt, keep)
    finally:
        journal.close()
        _write_failures(examples, failures, out.with_suffix(".failures.jsonl"))
    by_source = {example.source: question_key(example) for example in examples}
    for found in yields:
        failure = failures.get(by_source[found.source])
        found.failed = failure.error if failure else ""
    write_examples(taught, out)
    with out.with_suffix(".yield.tsv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, delimiter="\t")
        table.writerow(Yield.__dataclass_fields__)
        table.writerows(vars(found).values() for found in yields)
    return yields


def _write_failures(examples: Sequence[Example], failures: dict[str, Failure], path: Path) -> None:
    """One line a question; no file where none failed."""
    if not failures:
        path.unlink(missing_ok=True)
        return
    sources = {question_key(example): example.source for example in examples}
    lines = (
        write_json({"source": sources[key], "hinted": failure.hinted, "error": failure.error})
        for key, failure in failures.items()
    )
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    log.warning(
        "%d questions failed, and %s has the teacher's words; the same command asks them again",
        len(failures),
        path,
    )


def _round(
    examples: Sequence[Example],
    asked: Sequence[Example],
    fmt: PromptFormat,
    teacher: Teacher,
    journal: Journal,
    failures: dict[str, Failure],
    console: Console,
    *,
    hinted: bool,
) -> None:
    todo: list[Wanted] = wanted(asked, journal.drawn, teacher.samples, hinted=hinted)
    by_key = {question_key(example): example for example in examples}
    name = "asking with the key as a hint" if hinted else "asking"
    right, done, started, said = 0, 0, time.monotonic(), time.monotonic()
    with Progress(
        *Progress.get_default_columns()[:-1], TimeRemainingColumn(), console=console
    ) as progress:
        task = progress.add_task(name, total=len(todo))

        def each(drawn: Drawn | Failure) -> None:
            nonlocal right, done, said
            if isinstance(drawn, Failure):
                failures.setdefault(drawn.key, drawn)
                return
            journal.add(drawn)
            done += 1
            right += analysis_of(drawn, by_key[drawn.key], fmt) is not None
            progress.update(task, completed=done, description=f"{name}, {right / done:.0%} right")
            now = time.monotonic()
            if not console.is_terminal and now - said > SAID_EVERY_S:
                said = now
                left = (now - started) / done * (len(todo) - done)
                log.info("%s: %d/%d, %d right, %.0f s left", name, done, len(todo), right, left)

        asyncio.run(draw(examples, todo, fmt, teacher, each))


def print_yields(yields: Sequence[Yield], console: Console) -> None:
    """How many questions had how many right analyses, as bars, and those that had none."""
    spread = Counter(found.right for found in yields)
    most = max(spread.values(), default=1)
    table = Table("right analyses", "questions", "", box=None)
    for right in range(max((found.asked for found in yields), default=0) + 1):
        bar = "█" * round(30 * spread[right] / most)
        table.add_row(f"{right}", f"{spread[right]}", bar or ("▏" if spread[right] else ""))
    console.print(table)
    asked, right = sum(y.asked for y in yields), sum(y.right for y in yields)
    hinted = sum(1 for y in yields if y.hinted_right)
    console.print(
        f"{right} of {asked} analyses reached the key ({right / max(asked, 1):.1%}); "
        f"{sum(y.kept for y in yields)} kept, {hinted} questions helped by the hint, "
        f"{sum(1 for y in yields if not y.kept)} without any, "
        f"{sum(1 for y in yields if y.failed)} failed"
    )


def job_answers(job: str) -> list[dict[str, Any]]:
    """The answers of a finished job: its directory, its answers.jsonl, or its URL at the API.

    Raises:
        TrainerError: there are none yet, or they cannot be read.
    """
    try:
        if job.startswith(("http://", "https://")):
            with open_url(job.rstrip("/") + "/answers", timeout_s=60) as reply:
                data = reply.read()
        else:
            path = Path(job)
            path = path / "answers.jsonl" if path.is_dir() else path
            data = path.read_bytes()
        answers = [read_json(line) for line in data.split(b"\n") if line.strip()]
    except urllib.error.HTTPError as error:
        why = "it has not finished" if error.code == 409 else f"{error.code} {error.reason}"
        raise TrainerError(f"cannot read the answers of {job}: {why}") from error
    except (OSError, ValueError) as error:
        raise TrainerError(f"cannot read the answers of {job}: {error}") from error
    for number, answer in enumerate(answers, start=1):
        if not isinstance(answer, dict) or not {"id", "index", "answer"} <= {*answer}:
            raise TrainerError(f"cannot read the answers of {job}: line {number} is no answer")
    return answers
