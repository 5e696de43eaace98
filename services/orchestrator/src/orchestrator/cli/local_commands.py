"""`quorum local`: the same processes as the compose stack's, on this machine, without Docker."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from orchestrator.cli.local_options import with_local_options
from orchestrator.local.options import LocalOptions

FAILED = 1
NO_OPTIONS = LocalOptions()

local_app = typer.Typer(
    no_args_is_help=True, help="Run everything on this machine, without Docker; a GPU is used."
)
out = Console()
err = Console(stderr=True)

Root = Annotated[Path, typer.Option(help="the project's folder")]


@local_app.command()
def up(root: Root = Path()) -> None:
    """Train (once), serve and accept jobs until Ctrl-C."""
    from orchestrator.cli import demo

    raise typer.Exit(demo.up(root.resolve(), out))


@local_app.command("demo")
def run_demo(
    file: Annotated[
        Path | None, typer.Option(help="your own problem file instead of the demo's")
    ] = None,
    root: Root = Path(),
) -> None:
    """Train (once), serve, answer a problem file and print the results."""
    from orchestrator.cli import demo

    raise typer.Exit(demo.run(root.resolve(), file, out))


@local_app.command()
@with_local_options
def stack(options: LocalOptions = NO_OPTIONS) -> None:
    """Print the stack that this host's driver and GPU need; STACK overrides it."""
    from orchestrator.cli.host_facts import gpus
    from orchestrator.local.choice import UnservedHostError, choose_stack

    driver, cards = gpus()
    try:
        found = choose_stack(
            options.stack,
            driver,
            [(card.name, card.capability) for card in cards],
            cpu_will_do=options.is_demo,
        )
    except UnservedHostError as error:
        err.print(str(error), style="bold red", markup=False, soft_wrap=True)
        raise typer.Exit(FAILED) from error
    err.print(f"stack {found.stack}: {found.why}", markup=False, highlight=False, soft_wrap=True)
    print(found.stack)
