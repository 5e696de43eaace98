"""`make demo` and `make up-local`: train once, serve, answer, print the results, name the page's
address.
"""

from __future__ import annotations

import json
import os
import signal
import time
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from rich.console import Console
from rich.table import Table

from contract import Problem, ProblemFileError, parse_problems
from orchestrator.api.schemas import Job
from orchestrator.cli.client import ApiError, Client
from orchestrator.cli.display import bar, duration, follow
from orchestrator.jobs.asked import all_asked
from orchestrator.jobs.intervals import Comparison, Estimate, compare, wilson
from orchestrator.jobs.reading import JobReader
from orchestrator.jobs.records import Answer
from orchestrator.jobs.report import answer_by, first_draw
from orchestrator.local.processes import Processes, StepError
from orchestrator.local.stack import LocalStack


def run(root: Path, file: Path | None, console: Console) -> int:
    """Answer `file` (the demo's by default). Returns the exit code."""
    return _guarded(
        console,
        lambda: _demo(root, (file or root / "examples/demo/problems.jsonl").resolve(), console),
    )


def up(root: Path, console: Console) -> int:
    """Keep the stack running until Ctrl-C. Returns the exit code."""
    return _guarded(console, lambda: _up(root, console))


def _guarded(console: Console, body: Callable[[], None]) -> int:
    for number in (signal.SIGINT, signal.SIGTERM):  # SIGINT is ignored in background jobs
        signal.signal(number, _interrupt)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # with nohup it keeps running
        signal.signal(signal.SIGHUP, _interrupt)
    try:
        body()
    except StepError as error:
        console.print(f"\n{error.step} failed: {error.reason}", style="bold red", markup=False)
        if tail := error.log_tail():
            console.print(
                f"the end of its log:\n{tail}\n", markup=False, highlight=False, soft_wrap=True
            )
            console.print(f"the whole log: {error.log}", markup=False, soft_wrap=True)
        return 1
    except ApiError as error:
        console.print(str(error), style="bold red", markup=False)
        return 1
    except KeyboardInterrupt:
        console.print(
            "\nstopped; every process that was started has ended. The next run continues from here."
        )
        return 130
    return 0


def _sayer(console: Console) -> Callable[[str], None]:
    def say(line: str) -> None:
        console.print(line, style="yellow", markup=False, highlight=False, soft_wrap=True)

    return say


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _up(root: Path, console: Console) -> None:
    stack = LocalStack.of(root)
    stack.check()
    with Processes(stack.var / "logs", _sayer(console)) as processes:
        times: dict[str, float] = {}
        _bring_up(stack, processes, times, console, lambda: None)
        console.print(f"\nthe page is at {stack.api_url}; Ctrl-C ends everything", soft_wrap=True)
        console.print(f"vLLM is at {stack.inference_url}", soft_wrap=True)
        console.print("from a shell, for example:")
        console.print(
            f"  curl -F file=@examples/demo/problems.jsonl {stack.api_url}/jobs",
            markup=False,
            soft_wrap=True,
        )
        if console.is_terminal and {"DISPLAY", "WAYLAND_DISPLAY"} & os.environ.keys():
            webbrowser.open(stack.api_url)
        while True:
            processes.check()
            time.sleep(1)


def _demo(root: Path, file: Path, console: Console) -> None:
    stack = LocalStack.of(root)
    problems = _read(file)
    stack.check()
    labelled = all(asked.question.answer is not None for asked in all_asked(problems))
    baseline = stack.var / "baseline.jsonl"
    times: dict[str, float] = {}
    with Processes(stack.var / "logs", _sayer(console)) as processes:

        def measure_base() -> None:
            if labelled:
                child = stack.start_baseline(processes, file, baseline)
                with _step("ask the base", times, console), bar(console) as progress:
                    task = progress.add_task("asking the base", total=None, note="before training")
                    processes.finish(child)
                    progress.update(task, total=1, completed=1, note="restricted to letters")

        _bring_up(stack, processes, times, console, measure_base)
        with Client(stack.api_url) as client, _step("answer", times, console):
            job = follow(client, client.submit(file, {}), console, processes.check)
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
    console.print(summary(problems, answers, base, job, times))
    console.print(f"submission: {submission}", markup=False, soft_wrap=True)
    console.print(f"every sample and tally: {samples}", markup=False, soft_wrap=True)
    page = f"{stack.api_url}/#/jobs/{job.id}"
    console.print(
        f"to see it on the page: make up-local, then {page}", markup=False, soft_wrap=True
    )


def _bring_up(
    stack: LocalStack,
    processes: Processes,
    times: dict[str, float],
    console: Console,
    while_it_starts: Callable[[], None],
) -> None:
    with _step("train", times, console):
        _train(stack, processes, console)
    server = stack.start_server(processes)  # its imports use one core; the next steps use the other
    while_it_starts()
    with _step("wait for the server", times, console):
        stack.start_service(processes)
        with bar(console) as progress:
            task = progress.add_task("starting vLLM", total=None, note="takes most of a minute")
            stack.wait_for_server(processes, server, progress.refresh)
            progress.update(task, total=1, completed=1, note="")


def _train(stack: LocalStack, processes: Processes, console: Console) -> None:
    since = time.time()
    with bar(console) as progress:
        task = progress.add_task(
            "training", total=None, note="reading the data and loading the base"
        )

        def show() -> None:
            metrics = stack.training_metrics(since)
            if metrics:
                note = (
                    f"loss {metrics['loss']:.3f}, {metrics['tokens_per_s']} tokens/s, "
                    f"{duration(metrics['eta_s'])} left"
                )
                progress.update(task, total=metrics["steps"], completed=metrics["step"], note=note)

        child = stack.start_trainer(processes)
        processes.finish(child, show)
        if stack.training_metrics(since) is None:
            progress.update(task, total=1, completed=1, note="these weights are already published")


@contextmanager
def _step(name: str, times: dict[str, float], console: Console) -> Iterator[None]:
    started = time.monotonic()
    yield
    times[name] = time.monotonic() - started
    if not console.is_terminal:
        console.print(f"{name}: {duration(times[name])}")


def _read(file: Path) -> list[Problem]:
    try:
        return parse_problems(file.read_bytes())
    except OSError as error:
        raise ApiError(f"cannot read {file}: {error.strerror}") from error
    except ProblemFileError as error:
        count = "1 fault" if error.total == 1 else f"{error.total} faults"
        lines = [f"{file} has {count}:", *map(str, error.faults)]
        raise ApiError("\n  ".join(lines)) from error


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
        forced = [answer == key for answer, key in zip(base, keys, strict=True)]
        first = [first_draw(answer) == key for answer, key in zip(answers, keys, strict=True)]
        single = [
            answer_by(1, answer, "plurality") == key
            for answer, key in zip(answers, keys, strict=True)
        ]
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


def _percent(estimate: Estimate) -> str:
    value, low, high = estimate
    return f"{value:.1%} (95 % interval {low:.1%} to {high:.1%})"


def _points(comparison: Comparison) -> str:
    value, low, high = (100 * part for part in comparison.difference)
    return f"{value:+.1f} points ({low:+.1f} to {high:+.1f}), paired, p = {comparison.p_value:.2g}"
