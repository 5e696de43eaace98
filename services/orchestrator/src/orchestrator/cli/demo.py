"""`make demo`: train once, serve, answer, print the results, name the page's address."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.table import Table

from contract import Problem, parse_problems
from contract.files.shapes import Reading
from orchestrator.api.schemas import Job
from orchestrator.cli.checking import checked_file, said_of
from orchestrator.cli.client import ApiError, Client
from orchestrator.cli.display import bar, duration, follow
from orchestrator.cli.local_run import Supervisor, guarded, supervised
from orchestrator.cli.reading_options import form_of
from orchestrator.jobs.asked import all_asked
from orchestrator.jobs.intervals import Comparison, Estimate, compare, wilson
from orchestrator.jobs.reading import JobReader
from orchestrator.jobs.records import Answer
from orchestrator.jobs.recounting import answer_by, first_draw
from orchestrator.jobs.scoring import is_right
from orchestrator.jobs.store import MOST_BYTES
from orchestrator.jobs.vote import plurality
from orchestrator.local.processes import StepError
from orchestrator.local.stack import SERVER_TIMEOUT_S, LocalStack


def run(stack: LocalStack, file: Path | None, reading: Reading, console: Console) -> int:
    """Answer `file` (the demo's by default), which is read like a posted one. Returns the exit
    code.
    """
    asked = (file or stack.root / "examples/demo/problems.jsonl").resolve()

    def body() -> None:
        with TemporaryDirectory(prefix="quorum-demo-") as folder:
            rows = rows_of(asked, Path(folder), reading, _most_bytes(stack), console)
            _demo(stack, asked, rows, reading, console)

    return guarded(console, body)


def rows_of(file: Path, folder: Path, reading: Reading, most_bytes: int, console: Console) -> Path:
    """The file's rows as ours: the file itself, or one in `folder`. Says what was recognized.

    Raises:
        ApiError: the file cannot be read, or the API would refuse it. It has the faults.
    """
    rows = folder / "rows.jsonl"
    try:
        checked = checked_file(file, rows, reading, most_bytes)
    except OSError as error:
        raise ApiError(f"cannot read {file}: {error.strerror}") from error
    if not checked.accepted:
        raise ApiError(said_of(file, checked))
    if checked.recognized is None:
        return file
    console.print(said_of(file, checked), markup=False, highlight=False, soft_wrap=True)
    return rows


def _most_bytes(stack: LocalStack) -> int:
    given = stack.setting("MAX_UPLOAD_MIB")
    return int(given) << 20 if given.isdigit() else MOST_BYTES  # the API refuses other words


def _demo(stack: LocalStack, file: Path, rows: Path, reading: Reading, console: Console) -> None:
    """`rows` has the rows of `file` as ours."""
    problems = parse_problems(rows.read_bytes())
    labelled = all(asked.question.answer is not None for asked in all_asked(problems))
    baseline = stack.var / "baseline.jsonl"
    with supervised(stack, "demo", console, "service", "trainer") as supervisor:

        def measure_base() -> None:
            if labelled:
                _ask_base(supervisor, rows, baseline)

        supervisor.does("training")
        supervisor.train()
        on_cpu = stack.stack == "cpu"
        if not on_cpu:  # on a GPU, the server takes the memory
            measure_base()
        supervisor.does("starting the server")
        # its imports use one core; the next steps use the other
        server = stack.start_server(supervisor.processes)
        if on_cpu:
            measure_base()
        with supervisor.step("wait for the server"):
            stack.start_service(supervisor.processes)
            supervisor.wait_for_server(server, SERVER_TIMEOUT_S)
        supervisor.does("serving")
        key = stack.setting("API_KEY")
        with Client(stack.api_url, key) as client, supervisor.step("answer"):
            job = follow(client, client.submit(file, form_of(reading)), console, supervisor.poll)
    store = JobReader(stack.state / "data")
    if job.status != "completed":
        errors = store.result(job.id, "errors.jsonl")
        raise StepError("answer", f"the job is {job.status}: {job.error}", errors)
    submission, samples = (
        store.result(job.id, f"{name}.jsonl") for name in ("submission", "answers")
    )
    assert samples is not None  # a completed job has its results
    answers = [Answer.model_validate_json(line) for line in samples.read_bytes().splitlines()]
    base = (
        [json.loads(line)["answer"] for line in baseline.read_bytes().splitlines()]
        if labelled
        else None
    )
    console.print()
    console.print(summary(problems, answers, base, job, supervisor.times))
    console.print(f"submission: {submission}", markup=False, soft_wrap=True)
    console.print(f"every sample and tally: {samples}", markup=False, soft_wrap=True)
    page = f"{stack.api_url}/#/jobs/{job.id}"
    console.print(
        f"to see it on the page: make up-local, then {page}", markup=False, soft_wrap=True
    )


def _ask_base(supervisor: Supervisor, file: Path, out: Path) -> None:
    child = supervisor.stack.start_baseline(supervisor.processes, file, out)
    with supervisor.step("ask the base"), bar(supervisor.console) as progress:
        task = progress.add_task("asking the base", total=None, note="before training")
        supervisor.processes.finish(child, supervisor.tell)
        progress.update(task, total=1, completed=1, note="restricted to letters")


def summary(
    problems: list[Problem],
    answers: list[Answer],
    base: list[str] | None,
    job: Job,
    times: dict[str, float],
) -> Table:
    """The demo's table.

    `base` holds the untrained base's answers in the file's order, if the file has keys.
    """
    table = Table(
        title=f"{len(answers)} questions of {job.filename}", show_header=False, title_justify="left"
    )
    if base is not None:
        keys = [asked.question.answer for asked in all_asked(problems)]
        forced = _right(base, keys)
        first = _right(map(first_draw, answers), keys)
        single = _right([answer_by(1, answer, plurality) for answer in answers], keys)
        voted = [answer.right for answer in answers]
        for name, right in (
            ("base model, letter forced", forced),
            ("fine-tuned, one sample", single),
            (f"fine-tuned, vote of {job.settings.samples}", voted),
        ):
            table.add_row(name, f"{_percent(wilson(sum(right), len(right)))} right")
        table.add_row("vote against base", _points(compare(forced, voted)))
        table.add_row("vote against one sample", _points(compare(single, voted)))
        table.add_row("redrawing one sample", _points(compare(first, single)))
    if job.agreement is not None:
        table.add_row(
            "agreement", f"{job.agreement:.1%} of the valid samples back the answer, on average"
        )
    counts = {
        flag: sum(flag in answer.flags for answer in answers)
        for flag in ("tie", "resampled", "forced")
    }
    table.add_row("flagged", ", ".join(f"{count} {flag}" for flag, count in counts.items()))
    table.add_row(
        "samples", f"{job.samples.drawn} drawn, {job.samples.saved} saved by stopping early"
    )
    table.add_row(
        "time", ", ".join(f"{name} {duration(seconds)}" for name, seconds in times.items())
    )
    return table


def _right(answers: Iterable[str | None], keys: list[str | None]) -> list[bool]:
    return [is_right(*pair, multiple=False) for pair in zip(answers, keys, strict=True)]


def _percent(estimate: Estimate) -> str:
    value, low, high = estimate
    return f"{value:.1%} (95 % interval {low:.1%} to {high:.1%})"


def _points(comparison: Comparison) -> str:
    value, low, high = (100 * part for part in comparison.difference)
    return f"{value:+.1f} points ({low:+.1f} to {high:+.1f}), paired, p = {comparison.p_value:.2g}"
