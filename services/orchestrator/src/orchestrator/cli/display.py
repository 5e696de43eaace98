"""Terminal output: progress bars for running steps, tables for results."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Column, Table

from orchestrator.api.schemas import ENDED, Job, JobList, Model
from orchestrator.cli.calibration_view import confidence_rows, coverage_table
from orchestrator.cli.client import Client, UnreachableError
from orchestrator.cli.doctor import Finding
from orchestrator.cli.panel_display import panel_tables, percent
from orchestrator.jobs.comparison import JobComparison
from orchestrator.jobs.cutting import CutSamples
from orchestrator.jobs.records import StartFile
from orchestrator.jobs.report_models import Report

# Asked again after a twentieth of the time waited so far: a short job's end is seen at once.
SHORTEST_POLL_S, POLL_S = 0.05, 0.5
SAY_EVERY_S = 10.0
BAR_CELLS = 30
# A note of the API that is longer than this may be cut beside the bar, so it is printed whole.
SHORT_NOTE = 40
LISTED = ("file", "status", "done", "agreement", "accuracy", "left")
MOST_MISSED_SHOWN = 10


def bar(console: Console) -> Progress:
    """A progress bar with a spinner, a count, the elapsed time and a free text."""
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
    """Show a job's progress until it ends. Returns the ended job.

    If the API goes away, this waits for it: the job continues without the API.
    """
    with bar(console) as progress:
        task = progress.add_task("answering", total=job.request_counts.total, note="")
        began = said = time.monotonic()
        told: str | None = None
        while True:
            each_poll()
            try:
                job = client.show(job.id)
                note = job.note or _pace(job)
                code = job.note_message.code if job.note_message else None
                if code != told and len(job.note or "") > SHORT_NOTE:
                    console.print(job.note, markup=False, highlight=False, soft_wrap=True)
                told = code
            except UnreachableError as error:
                note = str(error)
            counts = job.request_counts
            done = counts.completed + counts.failed
            progress.update(task, completed=done, note=escape(note))
            if not console.is_terminal and time.monotonic() - said > SAY_EVERY_S:
                said = time.monotonic()
                console.print(f"answering {done}/{counts.total}  {escape(note)}")
            if job.status in ENDED:
                return job
            waited_s = time.monotonic() - began
            time.sleep(min(POLL_S, max(SHORTEST_POLL_S, waited_s / 20)))


def _pace(job: Job) -> str:
    parts: list[str] = [] if job.status == "in_progress" else [job.status]
    if job.questions_per_s is not None and job.samples_per_s is not None:
        parts.append(f"{job.questions_per_s:.1f} questions/s, {job.samples_per_s:.0f} samples/s")
    if job.agreement is not None:
        parts.append(f"agreement {job.agreement:.0%}")
    if job.accuracy is not None:
        parts.append(f"accuracy {job.accuracy.value:.0%}")
    if job.eta_s is not None and job.status not in ENDED:
        parts.append(f"{duration(job.eta_s)} left")
    return ", ".join(parts)


def job_table(job: Job) -> Table:
    counts, said = job.request_counts, job.error or job.note
    rows = {
        "job": job.id,
        "status": f"{job.status}: {said}" if said else job.status,
        "name": job.name,
        "metadata": pairs(job.metadata),
        "file": job.filename,
        "shape": job.recognized,
        "questions": f"{counts.completed} answered, {counts.failed} failed, of {counts.total}",
        "samples": f"{job.samples.drawn} drawn, {job.samples.saved} saved by stopping early",
        "agreement": None if job.agreement is None else f"{job.agreement:.1%}",
        "accuracy": f"{job.accuracy.value:.1%} of {job.accuracy.answered}"
        if job.accuracy
        else None,
        "left": None if job.eta_s is None else duration(job.eta_s),
    }
    return _rows(rows)


def pairs(metadata: Mapping[str, str]) -> str | None:
    return ", ".join(f"{key}={value}" for key, value in metadata.items()) or None


def _rows(rows: dict[str, str | None]) -> Table:
    table = Table(show_header=False, box=None)
    for name, value in rows.items():
        if value is not None:
            table.add_row(name, escape(value))
    return table


def list_table(jobs: JobList) -> Table:
    named = any(job.name for job in jobs.data)
    columns = ("name", *LISTED) if named else LISTED
    table = Table(Column("job", overflow="fold"), *columns, box=None)  # no id is cut
    for job in jobs.data:
        counts = job.request_counts
        table.add_row(
            job.id,
            *([escape(job.name or "")] if named else []),
            escape(job.filename),
            job.status,
            f"{counts.completed + counts.failed}/{counts.total}",
            "" if job.agreement is None else f"{job.agreement:.0%}",
            f"{job.accuracy.value:.1%}" if job.accuracy else "",
            "" if job.eta_s is None else duration(job.eta_s),
        )
    return table


def model_table(model: Model) -> Table:
    contract = model.contract
    rows = {
        "model": model.name,
        "server": model.state,
        "base": contract.provenance.base_model if contract else None,
        "recipe": contract.provenance.recipe if contract else None,
        "made": contract.provenance.created if contract else None,
        "data": contract.provenance.data_sha256 if contract else None,
        "style": contract.format.style if contract else None,
        "contract": None if contract else "none; PROMPT_FORMAT says how jobs ask it",
    }
    return _rows(rows)


def report_view(report: Report) -> RenderableType:
    """The report as tables and bars."""
    start = report.provenance.start
    facts = {
        "job": report.job,
        "name": report.provenance.name,
        "metadata": pairs(report.provenance.metadata),
        "file": report.provenance.filename,
        "shape": report.provenance.read_as.text if report.provenance.read_as else None,
        "questions": f"{report.answered} answered, {report.failed} failed, of {report.questions} "
        f"in {report.problems} problems",
        "accuracy": percent(report.accuracy) if report.accuracy else None,
        "by problem": f"95 % interval {report.accuracy_by_problem.low:.1%} to "
        f"{report.accuracy_by_problem.high:.1%}, design effect "
        f"{report.accuracy_by_problem.design_effect:.2f}"
        if report.accuracy_by_problem
        else None,
        "by option": f"F1 {f1.value:.3f}, {f1.right} right, {f1.wrong} wrong, {f1.missing} missing"
        if (f1 := report.options_f1)
        else None,
        "scoring": report.scoring,
        "agreement": None if report.agreement is None else f"{report.agreement:.1%}",
        **confidence_rows(report.confidence),
        "flags": ", ".join(f"{count} {flag}" for flag, count in report.flags.items()),
        "cut": _cut(report.cut) if report.cut else None,
        "samples": ", ".join(f"{count} {name}" for name, count in report.samples.items()),
        "tokens": ", ".join(f"{count} {name}" for name, count in report.tokens.items()),
        "time": duration(report.seconds),
        "model": start.model if start else None,
        "format": _prompt(start),
        "prompt": start.prompt_note if start else None,
        "endpoint": "; ".join(a.note for a in start.adapted) or None if start else None,
    }
    parts: list[RenderableType] = [_rows(facts)]
    if report.accuracy_by_votes:
        parts.append(_votes(report))
    if report.accuracy_by_vote:
        parts.append(_ways(report))
    if report.panel:
        parts += panel_tables(report.panel)
    if report.agreement_levels:
        parts.append(_levels(report))
    last = (
        coverage_table(report.confidence),
        _labels(report) if report.labels else None,
        _missed(report) if report.missed else None,
    )
    return Group(*parts, *(table for table in last if table is not None))


def _votes(report: Report) -> Table:
    table = Table("votes", "accuracy", "", title="by number of votes", title_justify="left")
    for entry in report.accuracy_by_votes:
        found = entry.accuracy
        table.add_row(str(entry.votes), percent(found), _cells(found.value))
    if first := report.accuracy_first_draw:
        table.add_row("1, without redraws", percent(first), _cells(first.value))
    return table


def _ways(report: Report) -> Table:
    """What each way of voting would have given, compared with plurality."""
    table = Table("vote", "accuracy", "", title="by way of voting", title_justify="left")
    for entry in report.accuracy_by_vote:
        told = [] if entry.p_value is None else [f"p = {entry.p_value:.2g}"]
        told += [f"{entry.unsettled} not settled"] if entry.unsettled else []
        table.add_row(entry.vote, percent(entry.accuracy), ", ".join(told))
    return table


def _prompt(start: StartFile | None) -> str | None:
    return start.prompt_format.note if start and start.prompt_format else None


def _cut(cut: CutSamples) -> str:
    told = f"{cut.samples} samples of {cut.questions} questions ended before they named an option"
    if cut.max_tokens is None:
        return f"{told}; raise max_tokens"
    return (
        f"{told}, at max_tokens={cut.max_tokens}; {cut.proposed_max_tokens} may be enough "
        "(an estimate from the lengths of this job's samples)"
    )


def _levels(report: Report) -> Table:
    table = Table(
        "agreement", "questions", "", "accuracy", title="by agreement", title_justify="left"
    )
    most = max(level.questions for level in report.agreement_levels)
    for level in reversed(report.agreement_levels):
        whole = level.up_to == 1.0
        table.add_row(
            "all agree" if whole else f"{level.above:.0%} to {level.up_to:.0%}",
            str(level.questions),
            _cells(level.questions / most),
            percent(level.accuracy) if level.accuracy else "",
        )
    return table


def _labels(report: Report) -> Table:
    table = Table("label", "answers", "keys", "", title="labels", title_justify="left")
    for label in sorted({*report.labels, *report.keys}):
        count = report.labels.get(label, 0)
        share = count / max(1, report.answered)
        keys = str(report.keys.get(label, 0)) if report.keys else ""
        table.add_row(label, str(count), keys, _cells(share))
    return table


def _missed(report: Report) -> Table:
    table = Table(
        "problem", "missed", "of", "answer/key", title="most missed", title_justify="left"
    )
    worst = sorted(report.missed, key=lambda problem: -len(problem.missed))
    for problem in worst[:MOST_MISSED_SHOWN]:
        pairs = " ".join(f"{q.answer or '?'}/{q.key}" for q in problem.missed)
        table.add_row(
            escape(problem.id), str(len(problem.missed)), str(problem.questions), escape(pairs)
        )
    return table


def comparison_view(found: JobComparison) -> Table:
    left_out = found.only_first + found.only_second
    rows = {
        "questions": f"{found.questions} in both"
        + (f", {found.only_first} and {found.only_second} in one job only" if left_out else ""),
        "same answer": f"{found.same_answer}, {len(found.changed)} changed",
        "first": percent(found.first) if found.first else None,
        "second": percent(found.second) if found.second else None,
        "difference": f"{100 * found.difference:+.1f} points ({100 * (found.low or 0):+.1f} to "
        f"{100 * (found.high or 0):+.1f}), paired, p = {found.p_value:.2g}"
        if found.difference is not None
        else None,
        "right": f"{found.gained} gained, {found.lost} lost" if found.gained is not None else None,
    }
    table = _rows(rows)
    for change in found.changed[:MOST_MISSED_SHOWN]:
        key = f", key {change.key}" if change.key else ""
        text = f"{change.id}, question {change.index}: {change.first} to {change.second}{key}"
        table.add_row("", escape(text))
    if len(found.changed) > MOST_MISSED_SHOWN:
        table.add_row(
            "", f"and {len(found.changed) - MOST_MISSED_SHOWN} more; --json lists them all"
        )
    return table


def findings_table(found: Sequence[Finding]) -> Table:
    """The findings of doctor. If something is wrong, also the requirement and the remedy."""
    table = Table(show_header=False, box=None)
    marks = {"ok": "[green]✓[/]", "look": "[yellow]![/]", "fail": "[red]✗[/]"}
    for finding in found:
        lines = [escape(finding.found)]
        if finding.state != "ok":
            lines += [f"needed: {escape(finding.needed)}", f"[bold]do: {escape(finding.do)}[/]"]
        table.add_row(marks[finding.state], finding.what, "\n".join(lines))
    return table


def _cells(share: float) -> str:
    return "█" * round(BAR_CELLS * share)
