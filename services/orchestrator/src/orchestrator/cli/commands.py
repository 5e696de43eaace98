"""`quorum`: post problem files, watch jobs, fetch results; convert files; and local mode.

Data goes to standard output, everything else to standard error. Exit codes: 0 success; 1 the job
ended without a submission, a step of local mode failed, or doctor found the host unfit; 2 wrong
command; 3 the API refused the request, or would refuse the file; 4 the API does not answer; 130
Ctrl-C.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from pydantic import BaseModel
from rich.console import Console, RenderableType

from contract.replacing import replacing
from contract.settings import url_fault
from orchestrator.api.schemas import Job
from orchestrator.cli.answer import answer
from orchestrator.cli.calibration_view import calibration_table, calibrations_table
from orchestrator.cli.client import ApiError, Client, UnreachableError
from orchestrator.cli.display import (
    comparison_view,
    findings_table,
    follow,
    job_table,
    list_table,
    model_table,
    report_view,
)
from orchestrator.cli.file_commands import check_file, convert_file
from orchestrator.cli.job_options import NO_FIELDS, FormFields, bare_name, further, with_form_fields
from orchestrator.cli.local_commands import local_app

ENDED_BADLY, REFUSED, UNREACHABLE, INTERRUPTED = 1, 3, 4, 130

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, help=__doc__)
app.add_typer(local_app, name="local")
app.command("convert")(convert_file)
app.command("check")(check_file)
app.command("answer")(answer)

out = Console()
err = Console(stderr=True)


@dataclass(frozen=True)
class Target:
    """The API that commands call, and their output format (JSON or not)."""

    url: str
    api_key: str
    as_json: bool = False

    def client(self) -> Client:
        return Client(self.url, self.api_key)

    def show(self, record: BaseModel, view: RenderableType) -> None:
        if self.as_json:
            print(record.model_dump_json())
        else:
            out.print(view)


class Download(StrEnum):
    submission = "submission"
    answers = "answers"
    errors = "errors"
    report = "report"
    file = "file"


JobId = Annotated[str, typer.Argument(help="the job's id, job_...")]
JsonOption = Annotated[bool, typer.Option("--json", help="print one JSON document")]


@app.callback()
def connect(
    context: typer.Context,
    url: Annotated[
        str, typer.Option("--url", envvar="QUORUM_URL", help="the API's address")
    ] = "http://127.0.0.1:8080",
    api_key: Annotated[
        str, typer.Option("--api-key", envvar="QUORUM_API_KEY", help="the API's key, if it has one")
    ] = "",
) -> None:
    if fault := url_fault(url):
        raise typer.BadParameter(fault, param_hint="--url (QUORUM_URL)")
    context.obj = Target(url, api_key)


@app.command()
@with_form_fields
def submit(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="a file with questions: JSON, CSV, Parquet ...")],
    wait: Annotated[
        bool, typer.Option("--wait", help="follow the job and save its submission at the end")
    ] = False,
    idempotency_key: Annotated[
        str | None, typer.Option(help="repeated posts of one file with this key make one job")
    ] = None,
    save: Annotated[
        Path | None, typer.Option("--out", help="the file that --wait saves the submission in")
    ] = None,
    as_json: JsonOption = False,
    form: FormFields = NO_FIELDS,
) -> None:
    """Post a file with questions and print the job's id."""
    target = _target(context, as_json)
    with target.client() as client:
        job = client.submit(file, form, idempotency_key)
        if job.recognized:
            err.print(job.recognized, markup=False, soft_wrap=True)
        err.print(f"{job.request_counts.total} questions accepted")
        if wait:
            _wait(target, client, job, save or Path(f"{bare_name(file)}.{job.submission_file}"))
        elif as_json:
            print(job.model_dump_json())
        else:
            print(job.id)
            err.print(f"follow it with: quorum wait {job.id}")


@app.command("list")
def list_jobs(
    context: typer.Context,
    limit: Annotated[int, typer.Option(min=1, max=100, help="jobs to list")] = 20,
    after: Annotated[str | None, typer.Option(help="list jobs older than this one")] = None,
    name: Annotated[str, typer.Option(help="a part of the job's name")] = "",
    filename: Annotated[str, typer.Option(help="a part of the file's name")] = "",
    metadata: Annotated[
        list[str] | None, typer.Option(help="a pair key=value that the job has; repeatable")
    ] = None,
    status: Annotated[
        list[str] | None, typer.Option(help="completed, in_progress ...; repeatable")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """List jobs, newest first. All filters must match; of several statuses, one."""
    target = _target(context, as_json)
    filters = {
        "name": name,
        "filename": filename,
        "metadata": metadata or [],
        "status": status or [],
    }
    with target.client() as client:
        jobs = client.list(limit, after, filters)
    target.show(jobs, list_table(jobs))
    if jobs.has_more:
        err.print(f"more with: quorum list {further(filters, jobs.data[-1].id)}", soft_wrap=True)


@app.command()
def show(context: typer.Context, job: JobId, as_json: JsonOption = False) -> None:
    """Show a job's progress."""
    target = _target(context, as_json)
    with target.client() as client:
        found = client.show(job)
    target.show(found, job_table(found))


@app.command()
def wait(
    context: typer.Context,
    job: JobId,
    save: Annotated[
        Path | None, typer.Option("--out", help="the file to save the submission in")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Follow a job to its end."""
    target = _target(context, as_json)
    with target.client() as client:
        _wait(target, client, client.show(job), save)


def _wait(target: Target, client: Client, job: Job, save: Path | None) -> None:
    try:
        job = follow(client, job, err)
    except KeyboardInterrupt:
        err.print(f"\nthe job continues; follow it again with: quorum wait {job.id}")
        raise typer.Exit(INTERRUPTED) from None
    target.show(job, job_table(job))
    if job.status != "completed":
        raise typer.Exit(ENDED_BADLY)
    if save is not None:
        with replacing(save) as file:
            client.download(job.id, "submission", file)
        err.print(f"submission: {save}", markup=False, soft_wrap=True)


@app.command()
def cancel(context: typer.Context, job: JobId, as_json: JsonOption = False) -> None:
    """Stop a job. Its answers so far are kept."""
    target = _target(context, as_json)
    with target.client() as client:
        found = client.cancel(job)
    target.show(found, job_table(found))
    err.print(f"continue it with: quorum resume {job}")


@app.command()
def resume(context: typer.Context, job: JobId, as_json: JsonOption = False) -> None:
    """Reopen an ended job and ask its unanswered and failed questions again."""
    target = _target(context, as_json)
    with target.client() as client:
        found = client.resume(job)
    target.show(found, job_table(found))


@app.command()
def delete(context: typer.Context, job: JobId, as_json: JsonOption = False) -> None:
    """Delete an ended job and all of its files."""
    target = _target(context, as_json)
    with target.client() as client:
        target.show(client.delete(job), f"{job} was deleted")


@app.command()
def download(
    context: typer.Context,
    job: JobId,
    what: Annotated[Download, typer.Option(help="the file to fetch")] = Download.submission,
    save: Annotated[
        Path | None,
        typer.Option("--out", help="the file to save it in, or a folder; default: standard output"),
    ] = None,
) -> None:
    """Fetch a job's submission, answers, errors or report, or the file that was posted."""
    with _target(context).client() as client:
        if save is None:
            client.download(job, what, sys.stdout.buffer)
        elif save.is_dir():
            path = client.save(job, what, save)
            err.print(f"saved: {path}", markup=False, soft_wrap=True)
        else:
            with replacing(save) as file:
                client.download(job, what, file)


@app.command()
def report(context: typer.Context, job: JobId, as_json: JsonOption = False) -> None:
    """Show a finished job's figures: accuracy, agreement, missed questions, provenance."""
    target = _target(context, as_json)
    with target.client() as client:
        found = client.report(job)
    target.show(found, report_view(found))


@app.command()
def compare(
    context: typer.Context, first: JobId, second: JobId, as_json: JsonOption = False
) -> None:
    """Compare two jobs over the same questions: the paired difference and the changed answers."""
    target = _target(context, as_json)
    with target.client() as client:
        found = client.compare(first, second)
    target.show(found, comparison_view(found))


@app.command()
def calibrate(context: typer.Context, job: JobId, as_json: JsonOption = False) -> None:
    """Learn from an ended job with keys how probable it is that an answer is right."""
    target = _target(context, as_json)
    with target.client() as client:
        found = client.calibrate(job)
    target.show(found, calibration_table(found))
    err.print("jobs that start from now on with this model and these settings have a confidence")


@app.command()
def calibrations(context: typer.Context, as_json: JsonOption = False) -> None:
    """List the calibrations, newest first."""
    target = _target(context, as_json)
    with target.client() as client:
        found = client.calibrations()
    target.show(found, calibrations_table(found))


@app.command()
def model(context: typer.Context, as_json: JsonOption = False) -> None:
    """Show the model that answers jobs, and its provenance."""
    target = _target(context, as_json)
    with target.client() as client:
        found = client.model()
    target.show(found, model_table(found))


@app.command()
def doctor(
    root: Annotated[Path, typer.Option(help="the project's folder")] = Path(),
    as_json: JsonOption = False,
) -> None:
    """Check if this host can run the compose stack, and say what to do if it cannot."""
    from orchestrator.cli.doctor import findings
    from orchestrator.cli.host_facts import gather

    found = findings(gather(root.resolve()))
    if as_json:
        told = [finding.model_dump() for finding in found]
        print(json.dumps(told, ensure_ascii=False, allow_nan=False))
    else:
        out.print(findings_table(found))
    if any(finding.state == "fail" for finding in found):
        raise typer.Exit(ENDED_BADLY)


def _target(context: typer.Context, as_json: bool = False) -> Target:
    given: Target = context.obj
    return Target(given.url, given.api_key, as_json)


def main() -> None:
    try:
        app()
    except ApiError as error:
        if "--json" in sys.argv:
            print(json.dumps(error.details, ensure_ascii=False, allow_nan=False))
        err.print(str(error), style="red", markup=False, highlight=False, soft_wrap=True)
        sys.exit(UNREACHABLE if isinstance(error, UnreachableError) else REFUSED)
