"""`quorum answer`: answers one file with the model of an endpoint, on this machine, and ends.

It starts Redis, the API and the workers. Nothing is trained, and no model is served here.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer
from rich.console import Console

from contract.replacing import replacing
from contract.settings import url_fault
from orchestrator.api.schemas import Job
from orchestrator.cli.client import ApiError, Client
from orchestrator.cli.display import follow, job_table
from orchestrator.cli.job_options import NO_FIELDS, FormFields, bare_name, with_form_fields
from orchestrator.cli.local_run import guarded, sayer
from orchestrator.local.ports import check_port, free_port
from orchestrator.local.processes import Processes, StepError
from orchestrator.local.service import start_api_and_workers, start_redis
from orchestrator.local.slots import Record, Slot

STATE = Path("var/endpoint")
# What a user sets to name the endpoint, with an example of each.
NEEDED = {"INFERENCE_URL": "https://api.example.com/v1", "MODEL_NAME": "the-model"}
ENDED_UNWELL = ("failed", "cancelled")

out = Console()
err = Console(stderr=True)


class Endpoint(NamedTuple):
    """The endpoint that answers, the folder of its jobs, and the port of page and API."""

    url: str
    model: str
    state: Path
    api_port: int

    @property
    def page(self) -> str:
        return f"http://127.0.0.1:{self.api_port}"

    @property
    def logs(self) -> Path:
        return self.state / "logs"

    def environment(self, redis_url: str) -> dict[str, str]:
        """What the API and the workers get besides this process's environment."""
        defaults = {"API_HOST": "127.0.0.1", "LOG_FORMAT": "text", "MODEL_CONTRACT": "default"}
        return {
            **{name: value for name, value in defaults.items() if name not in os.environ},
            "DATA_DIR": str(self.state / "data"),
            "MODELS_DIR": str(self.state / "models"),
            "API_PORT": str(self.api_port),
            "API_PUBLISHED_ON": "",
            "REDIS_URL": redis_url,
            "PYTHONUNBUFFERED": "1",
        }

    def record(self) -> Record:
        return Record(
            pid=os.getpid(),
            command="answer",
            since=time.time(),
            doing="answering",
            stack="cpu",
            why="an endpoint serves the model",
            model=self.model,
            state=self.state,
            models_dir=self.state / "models",
            logs=self.logs,
            page=self.page,
            server=self.url,
        )


@with_form_fields
def answer(
    file: Annotated[
        Path | None,
        typer.Argument(help="a file with questions; none: the page, until Ctrl-C"),
    ] = None,
    save: Annotated[
        Path | None, typer.Option("--out", help="the file that the submission is saved in")
    ] = None,
    state: Annotated[Path, typer.Option(help="the folder for jobs and logs")] = STATE,
    api_port: Annotated[
        int, typer.Option(min=0, max=65535, help="the port of page and API; 0: a free one")
    ] = 0,
    form: FormFields = NO_FIELDS,
) -> None:
    """Answer a file with the model of an OpenAI-compatible endpoint, without Docker or a GPU.

    INFERENCE_URL, MODEL_NAME and INFERENCE_API_KEY name the endpoint. If it is stopped, the same
    command continues: no question is asked again.
    """

    def run() -> None:
        with _running(_endpoint(state.resolve(), api_port)) as (endpoint, processes):
            err.print(f"the page is at {endpoint.page}", soft_wrap=True)
            with Client(endpoint.page, os.environ.get("API_KEY", "")) as client:
                if file is None:
                    while True:
                        processes.check()
                        time.sleep(1)
                job = _answered(client, endpoint, processes, file, form)
                out.print(job_table(job))
                if job.status != "completed":
                    raise StepError("answer", f"the job is {job.status}: {job.error}")
                path = save or Path(f"{bare_name(file)}.{job.submission_file}")
                with replacing(path) as submission:
                    client.download(job.id, "submission", submission)
                err.print(f"submission: {path}", markup=False, soft_wrap=True)

    if failed := guarded(err, run):
        raise typer.Exit(failed)


def _endpoint(state: Path, api_port: int) -> Endpoint:
    """Raises StepError if the environment names no endpoint."""
    for name, example in NEEDED.items():
        if not os.environ.get(name):
            raise StepError("answer", f"{name} is not set; give it, such as {name}={example}")
    if fault := url_fault(os.environ["INFERENCE_URL"]):
        raise StepError("answer", f"INFERENCE_URL: {fault}")
    if api_port:
        check_port("answer", api_port, "--api-port")
    url, model = (os.environ[name] for name in NEEDED)
    return Endpoint(url, model, state, api_port or free_port())


@contextmanager
def _running(endpoint: Endpoint) -> Iterator[tuple[Endpoint, Processes]]:
    """Redis, the API and the workers, until the block ends.

    Raises:
        TakenError: the folder's service runs already.
        StepError: the folder cannot be used, or a process does not start.
    """
    slot, record = Slot(endpoint.state, "service"), endpoint.record()
    with ExitStack() as held:
        try:
            held.enter_context(slot.held())
            slot.write(record)
        except OSError as error:
            reason = f"{endpoint.state} cannot be used ({error}): name another folder with --state"
            raise StepError("answer", reason) from error
        processes = held.enter_context(Processes(endpoint.logs, sayer(err)))
        try:
            environment = endpoint.environment(start_redis(processes, endpoint.state))
            start_api_and_workers(processes, environment, endpoint.page, workers=2)
            yield endpoint, processes
        finally:
            with suppress(OSError):
                slot.write(record.model_copy(update={"ended": time.time()}))


def _answered(
    client: Client, endpoint: Endpoint, processes: Processes, file: Path, form: FormFields
) -> Job:
    """The ended job of this file, these settings and this endpoint; it is continued if there is one
    that did not complete.
    """
    job = client.submit(file, form, _key(endpoint, file, form))
    if job.recognized:
        err.print(job.recognized, markup=False, soft_wrap=True)
    if job.status in ENDED_UNWELL:
        job = client.resume(job.id)
    if job.status == "completed":
        err.print(f"{file} was answered before: {job.id}; --seed 1 asks anew", soft_wrap=True)
        return job
    return follow(client, job, err, processes.check)


def _key(endpoint: Endpoint, file: Path, form: Mapping[str, Any]) -> str:
    """One key for each file, settings and endpoint, so that a repeated command finds its job."""
    digest = hashlib.sha256(repr((endpoint.url, endpoint.model, sorted(form.items()))).encode())
    try:
        digest.update(file.read_bytes())
    except OSError as error:
        raise ApiError(f"cannot read {file}: {error.strerror}") from error
    return digest.hexdigest()
