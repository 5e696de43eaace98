"""Runs local mode in this process, in the foreground or detached, and keeps a record of it."""

from __future__ import annotations

import os
import signal
import time
import webbrowser
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from math import inf
from types import FrameType

from rich.console import Console

from orchestrator.cli.client import ApiError
from orchestrator.cli.display import bar, duration
from orchestrator.local.choice import UnservedHostError
from orchestrator.local.processes import Child, Processes, StepError, bound_log
from orchestrator.local.slots import STOPPING, Name, Process, Record, Slot, TakenError
from orchestrator.local.stack import LocalStack

FAILED, INTERRUPTED = 1, 130


class Supervisor:
    """The children of one command, and the record of what it does.

    `times` gets the seconds that each step took.
    """

    def __init__(
        self, stack: LocalStack, slot: Slot, record: Record, processes: Processes, console: Console
    ) -> None:
        self.stack, self.processes, self.console = stack, processes, console
        self.times: dict[str, float] = {}
        self._slot, self._record = slot, record
        self._wall_s = time.time() - time.monotonic()

    def does(self, step: str) -> None:
        self._note({"doing": step})

    def _note(self, update: dict[str, object]) -> None:
        """Change the record. It only informs, so a full disk that cannot take it ends nothing."""
        self._record = self._record.model_copy(update=update)
        with suppress(OSError):
            self._slot.write(self._record)

    def poll(self) -> None:
        """Restart what has died, and write the record if it has changed."""
        self.processes.check()
        self.tell()

    def tell(self) -> None:
        running = [self._told(child) for child in self.processes.children if is_there(child)]
        if running != self._record.processes:
            self._note({"processes": running})

    def _told(self, child: Child) -> Process:
        since = round(self._wall_s + child.started_at_s, 1)
        return Process(
            name=child.name,
            pid=child.process.pid,
            since=since,
            restarts=child.restarts,
            log=child.log,
        )

    def train(self) -> None:
        """Train until the model is published; nothing is done if it is already."""
        since = time.time()
        with self.step("train"), bar(self.console) as progress:
            first = "reading the data and loading the base"
            task = progress.add_task("training", total=None, note=first)

            def show() -> None:
                self.tell()
                if metrics := self.stack.training_metrics(since):
                    left_s = metrics.get("panel_eta_s", metrics["eta_s"])
                    place = (
                        f"member {metrics['member']} of {metrics['members']}, "
                        if "member" in metrics
                        else ""
                    )
                    note = (
                        f"{place}loss {metrics['loss']:.3f}, "
                        f"{metrics['tokens_per_s']} tokens/s, {duration(left_s)} left"
                    )
                    progress.update(
                        task, total=metrics["steps"], completed=metrics["step"], note=note
                    )

            self.processes.finish(self.stack.start_trainer(self.processes), show)
            if self.stack.training_metrics(since) is None:
                told = "these weights are already published"
                progress.update(task, total=1, completed=1, note=told)

    def wait_for_server(self, server: Child, timeout_s: float = inf) -> None:
        with bar(self.console) as progress:
            task = progress.add_task("starting vLLM", total=None, note="takes about a minute")

            def each_poll() -> None:
                self.tell()
                progress.refresh()

            def say(note: str) -> None:
                progress.update(task, note=note)

            self.stack.wait_for_server(self.processes, server, each_poll, say, timeout_s)
            progress.update(task, total=1, completed=1, note="")

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        started = time.monotonic()
        yield
        self.times[name] = time.monotonic() - started
        if not self.console.is_terminal:
            self.console.print(f"{name}: {duration(self.times[name])}")


def is_there(child: Child) -> bool:
    """False for a step that has ended."""
    return child.kept_up or child.process.returncode is None


@contextmanager
def supervised(
    stack: LocalStack, command: str, console: Console, *slots: Name
) -> Iterator[Supervisor]:
    """Hold the slots, and end every child when the block ends. The record lies in the first slot.

    Raises:
        TakenError: a slot is held by another process.
        StepError: local mode cannot run here now, or a step of the block failed.
    """
    told = slots[0]
    with ExitStack() as held:
        try:
            for name in slots:
                held.enter_context(Slot(stack.var, name).held())
            slot = Slot(stack.var, told)
            record = record_of(stack, command, with_service=told == "service")
            slot.write(record)
        except OSError as error:
            raise StepError(
                "state", f"{stack.var} cannot be used ({error}): set STATE to another folder"
            ) from error
        failure, failed_log = "", None
        try:
            stack.check(train=command != "serve", serve=told == "service")
            with Processes(stack.logs, sayer(console)) as processes:
                supervisor = Supervisor(stack, slot, record, processes, console)
                try:
                    yield supervisor
                finally:
                    supervisor.does(STOPPING)
        except Exception as error:
            failure = str(error)
            failed_log = error.log if isinstance(error, StepError) else None
            raise
        finally:
            ended = {
                "doing": "ended",
                "ended": time.time(),
                "failure": failure,
                "failed_log": failed_log,
            }
            with suppress(OSError):
                slot.write(record.model_copy(update=ended))


def record_of(stack: LocalStack, command: str, *, with_service: bool) -> Record:
    return Record(
        pid=os.getpid(),
        command=command,
        since=time.time(),
        stack=stack.stack,
        why=stack.choice.why,
        model=stack.model,
        recipe=stack.recipe,
        state=stack.var,
        models_dir=stack.models_dir,
        logs=stack.logs,
        page=stack.api_url if with_service else None,
        server=stack.inference_url if with_service else None,
    )


def up(stack: LocalStack, console: Console) -> int:
    """Train and serve until Ctrl-C. Returns the exit code."""
    return guarded(console, lambda: _serve(stack, console, "up"))


def serve(stack: LocalStack, console: Console) -> int:
    """Serve what is published, or will be, until Ctrl-C. Returns the exit code."""
    return guarded(console, lambda: _serve(stack, console, "serve"))


def train(stack: LocalStack, console: Console) -> int:
    """Train alone. Returns the exit code."""

    def body() -> None:
        with supervised(stack, "train", console, "trainer") as supervisor:
            supervisor.does("training")
            supervisor.train()
        console.print(f"published in {stack.models_dir / stack.model}", soft_wrap=True)

    return guarded(console, body)


def _serve(stack: LocalStack, console: Console, command: str) -> None:
    with supervised(stack, command, console, "service") as supervisor:
        stack.start_service(supervisor.processes)  # first, so that jobs can be posted meanwhile
        _name_addresses(stack, console)
        if command == "up":
            with Slot(stack.var, "trainer").held():
                supervisor.does("training")
                supervisor.train()
        supervisor.does("starting the server")
        with supervisor.step("wait for the server"):
            supervisor.wait_for_server(stack.start_server(supervisor.processes))
        supervisor.does("serving")
        console.print("ready; Ctrl-C ends everything", soft_wrap=True)
        if console.is_terminal and {"DISPLAY", "WAYLAND_DISPLAY"} & os.environ.keys():
            webbrowser.open(stack.api_url)
        while True:
            supervisor.poll()
            bound_log(stack.log_of(command))
            time.sleep(1)


def _name_addresses(stack: LocalStack, console: Console) -> None:
    console.print(f"the page is at {stack.api_url}, vLLM at {stack.inference_url}", soft_wrap=True)
    console.print(
        f"from a shell, for example:\n  curl -F file=@examples/demo/problems.jsonl "
        f"{stack.api_url}/jobs",
        markup=False,
        soft_wrap=True,
    )


def guarded(console: Console, body: Callable[[], None]) -> int:
    """Run `body`; its errors become messages and an exit code."""
    for number in (signal.SIGINT, signal.SIGTERM):  # SIGINT is ignored in background jobs
        signal.signal(number, _interrupt)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # with nohup it keeps running
        signal.signal(signal.SIGHUP, _interrupt)
    try:
        body()
    except StepError as error:
        console.print(
            f"\n{error.step} failed: {error.reason}",
            style="bold red",
            markup=False,
            soft_wrap=True,
        )
        if tail := error.log_tail():
            console.print(
                f"the end of its log:\n{tail}\n", markup=False, highlight=False, soft_wrap=True
            )
            console.print(f"the whole log: {error.log}", markup=False, soft_wrap=True)
        return FAILED
    except (ApiError, TakenError, UnservedHostError) as error:
        console.print(str(error), style="bold red", markup=False, soft_wrap=True)
        return FAILED
    except KeyboardInterrupt:
        console.print(
            "\nstopped; every process that was started has ended. The next run continues from here."
        )
        return INTERRUPTED
    return 0


def sayer(console: Console) -> Callable[[str], None]:
    def say(line: str) -> None:
        console.print(line, style="yellow", markup=False, highlight=False, soft_wrap=True)

    return say


def _interrupt(number: int, frame: FrameType | None) -> None:
    # A second Ctrl-C ends at once. A second `down`, or a hangup that comes twice, changes nothing.
    for repeated in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(repeated, signal.SIG_IGN)
    raise KeyboardInterrupt
