"""The options of `quorum submit`: one per job setting."""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, get_args, get_origin

import typer

from orchestrator.jobs.records import JobSettings

JobOptions = Mapping[str, Any]
NO_OPTIONS: JobOptions = types.MappingProxyType({})


def with_job_settings(command: Callable[..., None]) -> Callable[..., None]:
    """Add the settings to a command as options. The command gets the given ones in `settings`."""

    @functools.wraps(command)
    def run(**given: Any) -> None:
        settings = {name: given.pop(name) for name in JobSettings.model_fields}
        chosen = {name: value for name, value in settings.items() if value is not None}
        command(**given, settings=chosen)

    signature = inspect.signature(command, eval_str=True)
    own = [found for name, found in signature.parameters.items() if name != "settings"]
    options = [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=None,
            annotation=Annotated[
                _kind(field.annotation) | None, typer.Option(help=field.description)
            ],
        )
        for name, field in JobSettings.model_fields.items()
    ]
    named = [found.replace(kind=inspect.Parameter.KEYWORD_ONLY) for found in own]
    run.__signature__ = signature.replace(parameters=[*named, *options])  # type: ignore[attr-defined]
    run.__annotations__ = {found.name: found.annotation for found in (*named, *options)}
    return run


def _kind(annotation: Any) -> type:
    """The type of an option: the setting's type without None; str for a choice of words."""
    if get_origin(annotation) is Literal:
        return str
    kinds = [kind for kind in get_args(annotation) if kind is not type(None)]
    kind: type = kinds[0] if kinds else annotation
    return kind
