"""The options of `quorum submit`, one per job setting, and pairs given on the command line."""

from __future__ import annotations

import functools
import inspect
import shlex
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal, get_args, get_origin

import typer

from contract import write_json
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


def pairs_as_json(given: Sequence[str]) -> str | None:
    """`key=value` pairs as the form field of a JSON object; None for no pair.

    Raises:
        typer.BadParameter: a word is no pair, or a key is given twice.
    """
    pairs: dict[str, str] = {}
    for word in given:
        key, equals, value = word.partition("=")
        if not equals:
            raise typer.BadParameter(f"write key=value, not {word!r}", param_hint="--metadata")
        if key in pairs:
            raise typer.BadParameter(f"{key!r} is given twice", param_hint="--metadata")
        pairs[key] = value
    return write_json(pairs) if pairs else None


def further(filters: Mapping[str, str | Sequence[str]], last: str) -> str:
    """The options that list the next page, for a shell."""
    words: list[str] = []
    for name, value in filters.items():
        for one in [value] if isinstance(value, str) else value:
            words += [f"--{name}", one] if one else []
    return shlex.join([*words, "--after", last])
