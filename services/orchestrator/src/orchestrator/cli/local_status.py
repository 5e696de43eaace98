"""`quorum local status`: what runs in a state folder, from the records, the server and the API."""

from __future__ import annotations

import time
from typing import Any

from pydantic import BaseModel
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table

from contract.published import CURRENT
from orchestrator.cli.client import ApiError, Client
from orchestrator.cli.display import duration
from orchestrator.local.health import ask_server
from orchestrator.local.slots import NAMES, Record, Slot, clock
from orchestrator.local.stack import LocalStack

RUNNING_JOBS = ("queued", "in_progress")
MOST_JOBS = 100


class Training(BaseModel):
    """The last step that the trainer has reported; None before its first. The last three are those
    of a panel's member; `panel_eta_s` is for all members.
    """

    step: int | None = None
    steps: int | None = None
    loss: float | None = None
    eta_s: float | None = None
    member: int | None = None
    members: int | None = None
    panel_eta_s: float | None = None


class JobCounts(BaseModel):
    """Among the newest `MOST_JOBS` jobs."""

    running: int
    ended: int


class Status(BaseModel):
    """`commands`: those that run, or else the last one of each kind, with its end.

    `server` and `server_note`: as the server's /health tells. `published`: the digest of the model
    that is current.
    """

    running: bool
    commands: list[Record]
    server: str | None = None
    server_note: str = ""
    published: str | None = None
    training: Training | None = None
    api: str | None = None
    jobs: JobCounts | None = None


def gather(stack: LocalStack) -> Status:
    running, last = [], []
    for slot in (Slot(stack.var, name) for name in NAMES):
        pid, record = slot.holder(), slot.read()
        if record is not None and record.pid == pid:
            running.append(record)
        elif record is not None:
            last.append(record)
    commands = running or last
    if not running:
        return Status(running=False, commands=commands)
    status = Status(running=True, commands=commands, published=_published(commands[0]))
    for record in running:
        if any(child.name == "trainer" for child in record.processes):
            status.training = _training(stack, record)
        if record.page and record.server:
            _ask(stack, record, status)
    return status


def _published(record: Record) -> str | None:
    current = record.models_dir / record.model / CURRENT
    return current.resolve().name if current.exists() else None


def _training(stack: LocalStack, record: Record) -> Training:
    metrics: dict[str, Any] = stack.metrics_of(record.model, record.since) or {}
    return Training.model_validate(metrics)


def _ask(stack: LocalStack, record: Record, status: Status) -> None:
    running = {child.name for child in record.processes}
    if "inference" in running:
        port = int(str(record.server).rpartition(":")[2].partition("/")[0])
        health = ask_server(port)
        status.server, status.server_note = health.state, health.note
    if "api" not in running:
        return
    try:
        with Client(str(record.page), stack.setting("API_KEY")) as client:
            jobs = client.list(MOST_JOBS, None).data
    except ApiError as error:
        status.api = str(error)
        return
    count = sum(job.status in RUNNING_JOBS for job in jobs)
    status.api, status.jobs = "ok", JobCounts(running=count, ended=len(jobs) - count)


def view(status: Status) -> RenderableType:
    return Group(*_lines(status), *map(_processes, status.commands if status.running else []))


def _lines(status: Status) -> list[Table]:
    tables = []
    for record in status.commands:
        table = Table(show_header=False, box=None)
        table.add_column()
        table.add_column(overflow="fold")  # a long path is folded, never cut
        rows = _running(record, status) if status.running else {record.command: _end(record)}
        for name, value in rows.items():
            if value:
                table.add_row(name, escape(value))
        tables.append(table)
    return tables


def _running(record: Record, status: Status) -> dict[str, str]:
    published = status.published or "not published yet"
    rows = {
        record.command: f"{record.doing} (pid {record.pid}, since {clock(record.since)})",
        "stack": f"{record.stack}: {record.why}",
        "model": f"{record.model} of {record.recipe.name}, {published}"
        if record.recipe
        else f"{record.model} at {record.server}",
    }
    if status.training and any(child.name == "trainer" for child in record.processes):
        rows["training"] = _progress(status.training)
    if record.page:
        rows["server"] = ": ".join(filter(None, (status.server, status.server_note)))
        rows["vLLM"] = str(record.server) if record.recipe else ""
        rows["page"] = record.page
        counts = status.jobs
        rows["jobs"] = f"{counts.running} running, {counts.ended} ended" if counts else ""
        rows["API"] = "" if status.api in ("ok", None) else str(status.api)
    return {**rows, "logs": str(record.logs)}


def _progress(training: Training) -> str:
    if training.step is None:
        return "reading the data and loading the base"
    loss = "" if training.loss is None else f", loss {training.loss:.3f}"
    step = f"step {training.step} of {training.steps}{loss}"
    if training.member is None:
        return f"{step}, {duration(training.eta_s)} left"
    left = duration(training.panel_eta_s)
    return f"member {training.member} of {training.members}, {step}, {left} left for all"


def _end(record: Record) -> str:
    if record.ended is None:
        return f"was killed; it had started at {clock(record.since)}"
    how = f"failed: {record.failure}" if record.failure else "ended"
    logs = f"its log is {record.failed_log}" if record.failed_log else f"logs in {record.logs}"
    return f"{how} ({clock(record.ended)}); {logs}"


def _processes(record: Record) -> Table:
    table = Table("process", "pid", "runs for", "restarts", "log", box=None)
    for child in record.processes:
        runs = duration(time.time() - child.since)
        table.add_row(child.name, str(child.pid), runs, str(child.restarts), child.log.name)
    return table
