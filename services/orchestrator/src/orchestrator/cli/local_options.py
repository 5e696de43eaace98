"""The options of `quorum local`: one per field of `LocalOptions`, each with its variable."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from contract.panels import MOST_VOTERS
from orchestrator.local.options import LocalOptions

LIMITS: dict[str, dict[str, Any]] = {
    "panel": {"min": 0, "max": MOST_VOTERS},
    "api_port": {"min": 1, "max": 65535},
    "inference_port": {"min": 0, "max": 65535},
    "workers": {"min": 1},
}


def with_local_options(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options to a command, which gets them as `options`."""
    hints = get_type_hints(LocalOptions)
    names = [field.name for field in fields(LocalOptions)]

    @functools.wraps(command)
    def run(**given: Any) -> None:
        chosen = {name: given.pop(name) for name in names}
        chosen["train"] = tuple(chosen["train"] or ())
        command(**given, options=LocalOptions(**chosen))

    signature = inspect.signature(command, eval_str=True)
    own = [
        found.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for name, found in signature.parameters.items()
        if name != "options"
    ]
    added = [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=None if field.name == "train" else field.default,
            annotation=Annotated[
                _kind(hints[field.name]),
                typer.Option(
                    envvar=field.name.upper(),
                    help=field.metadata["help"],
                    **LIMITS.get(field.name, {}),
                ),
            ],
        )
        for field in fields(LocalOptions)
    ]
    run.__signature__ = signature.replace(parameters=[*own, *added])  # type: ignore[attr-defined]
    run.__annotations__ = {found.name: found.annotation for found in (*own, *added)}
    return run


def _kind(hint: Any) -> Any:
    """The type of an option: a list may be given several times; None stands for no folder."""
    if hint == tuple[str, ...]:
        return list[str] | None
    return Path | None if hint == (Path | None) else hint
