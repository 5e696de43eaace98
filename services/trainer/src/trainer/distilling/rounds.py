"""`trainer distill`: one round of questions, a second with the key as a hint, and the files."""

from __future__ import annotations

import asyncio
import csv
import logging
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import Progress, TimeRemainingColumn

from contract import PromptFormat, write_json
from trainer.data.examples import Example
from trainer.data.preparing import write_examples
from trainer.distilling.ask import Failure, draw
from trainer.distilling.journal import Drawn, Journal, Teacher, question_key, wanted
from trainer.distilling.selection import Yield, analysis_of, never_right, select
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
    """Draw the samples that are missing, and write the analyses into `out` (JSONL).

    Beside it stand the yield table (`.yield.tsv`), all samples (`.samples.jsonl`), and the
    questions that were refused or got no readable reply (`.failures.jsonl`). The same call asks
    those again.

    Raises:
        TrainerError: the teacher failed; the same call goes on from the samples drawn so far.
    """
    if fmt.style != "analysis":
        raise TrainerError(
            "distill writes analyses, but this recipe trains labels alone: set format.style = "
            '"analysis"'
        )
    failures: dict[str, Failure] = {}
    journal = Journal(out.with_suffix(".samples.jsonl"), teacher, fmt)
    try:
        _round(examples, fmt, teacher, journal, failures, console, hinted=False)
        taught, yields = select(examples, journal.drawn, fmt, keep)
        if hint and (missed := never_right(examples, yields, failures)):
            _round(missed, fmt, teacher, journal, failures, console, hinted=True)
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
    """Write one line for each failed question; no file if none failed."""
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
        "%d questions failed; %s gives the reasons; the same command asks them again",
        len(failures),
        path,
    )


def _round(
    asked: Sequence[Example],
    fmt: PromptFormat,
    teacher: Teacher,
    journal: Journal,
    failures: dict[str, Failure],
    console: Console,
    *,
    hinted: bool,
) -> None:
    todo = wanted(asked, journal.drawn, teacher.samples, hinted=hinted)
    by_key = {question_key(example): example for example in asked}
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

        asyncio.run(draw(asked, todo, fmt, teacher, each))
