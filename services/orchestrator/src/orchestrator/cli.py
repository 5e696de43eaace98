"""`quorum`: post problem files, watch jobs, fetch results; and local mode."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from orchestrator.client import ApiError, Client
from orchestrator.display import follow, job_table

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)
local_app = typer.Typer(
    no_args_is_help=True, help="Run everything on this machine, without Docker or a GPU."
)
app.add_typer(local_app, name="local")

console = Console()

UrlOption = Annotated[str, typer.Option("--url", envvar="QUORUM_URL", help="where the API is")]
DEFAULT_URL = "http://127.0.0.1:8080"


class Download(StrEnum):
    submission = "submission"
    answers = "answers"
    errors = "errors"


@app.command()
def submit(
    file: Path,
    wait: Annotated[
        bool, typer.Option("--wait", help="follow the job and save its submission at the end")
    ] = False,
    samples: Annotated[int | None, typer.Option(help="samples per question")] = None,
    temperature: float | None = None,
    top_p: float | None = None,
    max_tokens: int | None = None,
    seed: int | None = None,
    early_stop: Annotated[
        bool | None, typer.Option(help="stop when no sample left could change the winner")
    ] = None,
    submission_format: Annotated[str | None, typer.Option(help="full or minimal")] = None,
    allow_partial: Annotated[
        bool, typer.Option("--allow-partial", help="a submission even with gaps")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="where --wait saves the submission")] = None,
    url: UrlOption = DEFAULT_URL,
) -> None:
    """Post a problem file."""
    form = {
        "samples": samples,
        "temperature": temperature,
        "top_p": top_p,
        "max_tokens": max_tokens,
        "seed": seed,
        "early_stop": early_stop,
        "submission_format": submission_format,
        "allow_partial": allow_partial,
    }
    with Client(url) as client:
        job = client.submit(file, form)
        console.print(f"{job.id}: {job.request_counts.total} questions")
        if not wait:
            console.print(f"quorum show {job.id}")
            return
        job = follow(client, job, console)
        console.print(job_table(job))
        if job.status != "completed":
            raise typer.Exit(1)
        target = out or Path(f"{file.stem}.submission.jsonl")
        target.write_bytes(client.download(job.id, "submission"))
        console.print(f"submission: {target}")


@app.command()
def show(job: str, url: UrlOption = DEFAULT_URL) -> None:
    """How far a job is."""
    with Client(url) as client:
        console.print(job_table(client.show(job)))


@app.command()
def download(
    job: str,
    what: Annotated[Download, typer.Option(help="which file")] = Download.submission,
    out: Annotated[
        Path | None, typer.Option(help="where to save it; default: standard output")
    ] = None,
    url: UrlOption = DEFAULT_URL,
) -> None:
    """Fetch a job's submission, answers or errors."""
    with Client(url) as client:
        data = client.download(job, what)
    if out is None:
        sys.stdout.buffer.write(data)
    else:
        out.write_bytes(data)


@local_app.command()
def up(root: Annotated[Path, typer.Option(help="the project's folder")] = Path()) -> None:
    """Train (once), serve and take jobs until Ctrl-C."""
    from orchestrator.local import demo

    raise typer.Exit(demo.up(root.resolve(), console))


@local_app.command("demo")
def run_demo(
    file: Annotated[
        Path | None, typer.Option(help="your own problem file instead of the demo's")
    ] = None,
    root: Annotated[Path, typer.Option(help="the project's folder")] = Path(),
) -> None:
    """Train (once), serve, answer a problem file, and say how it went."""
    from orchestrator.local import demo

    raise typer.Exit(demo.run(root.resolve(), file, console))


def main() -> None:
    try:
        app()
    except ApiError as error:
        Console(stderr=True).print(str(error), style="red", markup=False, highlight=False)
        sys.exit(1)


if __name__ == "__main__":
    main()
