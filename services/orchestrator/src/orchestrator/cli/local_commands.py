"""`quorum local`: the same processes as the compose stack's, on this machine, without Docker."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING, Annotated, cast

import typer
from rich.console import Console

from orchestrator.cli.local_options import with_local_options
from orchestrator.cli.reading_options import Encoding, IndexBase, Map, More, Shape, reading_of
from orchestrator.cli.unfailing import Unfailing
from orchestrator.local.choice import Choice, UnservedHostError, choose_stack
from orchestrator.local.options import LocalOptions
from orchestrator.local.slots import Name

if TYPE_CHECKING:
    from orchestrator.local.stack import LocalStack

FAILED = 1
NO_OPTIONS = LocalOptions()

local_app = typer.Typer(
    no_args_is_help=True, help="Run everything on this machine, without Docker; a GPU is used."
)
out = Console()
err = Console(stderr=True)

Root = Annotated[Path, typer.Option(help="the project's folder")]


Detached = Annotated[
    bool, typer.Option("-d", "--detach", help="run in the background, also after the shell ends")
]
JsonOption = Annotated[bool, typer.Option("--json", help="print one JSON document")]


@local_app.command()
@with_local_options
def up(root: Root = Path(), detach: Detached = False, options: LocalOptions = NO_OPTIONS) -> None:
    """Train (once), serve and accept jobs until Ctrl-C."""
    _run("up", "service", root, options, detach)


@local_app.command()
@with_local_options
def train(
    root: Root = Path(), detach: Detached = False, options: LocalOptions = NO_OPTIONS
) -> None:
    """Train, verify and publish. A running server takes up the new model by itself."""
    _run("train", "trainer", root, options, detach)


@local_app.command()
@with_local_options
def serve(
    root: Root = Path(), detach: Detached = False, options: LocalOptions = NO_OPTIONS
) -> None:
    """Serve what is published, or wait for it, and accept jobs until Ctrl-C."""
    _run("serve", "service", root, options, detach)


def _run(command: str, slot: Name, root: Path, options: LocalOptions, detach: bool) -> None:
    from orchestrator.cli import local_background, local_run

    stack = _stack(root, options)
    if refused := local_run.guarded(out, lambda: stack.check_inputs(train=command != "serve")):
        raise typer.Exit(refused)
    if detach:
        raise typer.Exit(local_background.detach(stack, command, slot, out))
    console = _lasting()
    console.print(f"stack {stack.stack}: {stack.choice.why}", markup=False, soft_wrap=True)
    run = {"up": local_run.up, "train": local_run.train, "serve": local_run.serve}[command]
    raise typer.Exit(run(stack, console))


@local_app.command()
@with_local_options
def down(root: Root = Path(), options: LocalOptions = NO_OPTIONS) -> None:
    """End what runs in the state folder, in order, and wait for its end."""
    from orchestrator.cli import local_background
    from orchestrator.local.stack import LocalStack

    stack = LocalStack.of(root.resolve(), options)
    raise typer.Exit(local_background.down(stack, out))


@local_app.command()
@with_local_options
def status(
    root: Root = Path(), as_json: JsonOption = False, options: LocalOptions = NO_OPTIONS
) -> None:
    """Show what runs: processes, stack, server, training, jobs. Exit code 1 if nothing runs."""
    from orchestrator.cli.local_status import gather, view
    from orchestrator.local.stack import LocalStack

    stack = LocalStack.of(root.resolve(), options)
    found = gather(stack)
    if as_json:
        print(found.model_dump_json())
    else:
        if not found.running:
            out.print(f"nothing runs in {stack.var}", markup=False, soft_wrap=True)
        out.print(view(found))
    raise typer.Exit(0 if found.running else FAILED)


@local_app.command("demo")
@with_local_options
def run_demo(
    file: Annotated[
        Path | None,
        typer.Option(help="your own file of questions, of any kind that POST /jobs takes"),
    ] = None,
    more: More = None,
    shape: Shape = None,
    encoding: Encoding = None,
    columns: Map = None,
    index_base: IndexBase = None,
    root: Root = Path(),
    options: LocalOptions = NO_OPTIONS,
) -> None:
    """Train (once), serve, answer a file of questions and print the results."""
    from orchestrator.cli import demo

    reading = reading_of(shape, encoding, [*(columns or ()), *(more or ())], index_base)
    raise typer.Exit(demo.run(_stack(root, options), file, reading, _lasting()))


@local_app.command()
@with_local_options
def stack(root: Root = Path(), options: LocalOptions = NO_OPTIONS) -> None:
    """Print the stack that this host's driver and GPU need; STACK overrides it.

    Fails if RECIPE, TRAIN or BASE names a file that is missing, before make downloads a stack.
    """
    from orchestrator.cli.local_run import guarded

    found = _stack(root, options)
    if failed := guarded(err, found.check_inputs):
        raise typer.Exit(failed)
    why = f"stack {found.stack}: {found.choice.why}"
    err.print(why, markup=False, highlight=False, soft_wrap=True)
    print(found.stack)


def _lasting() -> Console:
    return Console(file=cast(IO[str], Unfailing(sys.stdout)))


def _stack(root: Path, options: LocalOptions) -> LocalStack:
    from orchestrator.local.stack import LocalStack

    return LocalStack.of(root.resolve(), options, _choice(options))


def _choice(options: LocalOptions) -> Choice:
    from orchestrator.cli.host_facts import gpu_device_is_there, visible_gpus

    driver, cards = visible_gpus()
    names = [(card.name, card.capability) for card in cards]
    try:
        return choose_stack(
            options.stack,
            driver,
            names,
            cpu_will_do=options.is_demo,
            device_is_there=gpu_device_is_there(),
        )
    except UnservedHostError as error:
        err.print(str(error), style="bold red", markup=False, soft_wrap=True)
        raise typer.Exit(FAILED) from error
