"""What the terminal shows: bars while something runs, a few lines when it is done."""

from __future__ import annotations

import time
from collections.abc import Callable

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table

from orchestrator.client import Client
from orchestrator.schemas import Job

POLL_S = 0.5
ENDED = ("completed", "failed", "cancelled")


def bar(console: Console) -> Progress:
    """A bar with a spinner, count, time so far and a free text."""
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[note]}"),
        console=console,
    )


def duration(seconds: float | None) -> str:
    """Seconds in words: 42 s, 3 min 05 s, 2 h 10 min."""
    if seconds is None:
        return "?"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def follow(
    client: Client, job: Job, console: Console, each_poll: Callable[[], None] = lambda: None
) -> Job:
    """Show a job's progress until it has ended; the ended job."""
    with bar(console) as progress:
        task = progress.add_task("answering", total=job.request_counts.total, note="")
        said = time.monotonic()
        while True:
            each_poll()
            job = client.show(job.id)
            counts = job.request_counts
            done = counts.completed + counts.failed
            note = job.note or _pace(job)
            progress.update(task, completed=done, note=note)
            if not console.is_terminal and time.monotonic() - said > 10:
                said = time.monotonic()
                console.print(f"answering {done}/{counts.total}  {note}")
            if job.status in ENDED:
                return job
            time.sleep(POLL_S)


def _pace(job: Job) -> str:
    parts = []
    if job.samples_per_s is not None:
        parts.append(f"{job.samples_per_s:.0f} samples/s")
    if job.agreement is not None:
        parts.append(f"agreement {job.agreement:.0%}")
    if job.eta_s is not None and job.status not in ENDED:
        parts.append(f"{duration(job.eta_s)} left")
    return ", ".join(parts)


def job_table(job: Job) -> Table:
    table = Table(show_header=False, box=None)
    counts = job.request_counts
    table.add_row("job", job.id)
    table.add_row(
        "status", job.status + (f": {job.error or job.note}" if job.error or job.note else "")
    )
    table.add_row("file", job.filename)
    table.add_row(
        "questions", f"{counts.completed} answered, {counts.failed} failed, of {counts.total}"
    )
    table.add_row(
        "samples", f"{job.samples.drawn} drawn, {job.samples.saved} saved by stopping early"
    )
    if job.agreement is not None:
        table.add_row("agreement", f"{job.agreement:.1%}")
    if job.accuracy:
        table.add_row("accuracy", f"{job.accuracy.value:.1%} of {job.accuracy.answered}")
    if job.eta_s is not None:
        table.add_row("left", duration(job.eta_s))
    return table
