"""The options of `quorum submit`, one per field of the form, and words of the command line."""

from __future__ import annotations

import functools
import inspect
import shlex
import types
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import typer

from contract import write_json
from orchestrator.jobs.records import JobSettings

FormFields = Mapping[str, Any]
NO_FIELDS: FormFields = types.MappingProxyType({})
# The further fields of the form, with the options that they are made of.
FURTHER = {
    "more": Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME=COLUMN]...", help="more columns for --map"),
    ],
    "name": Annotated[str | None, typer.Option(help="what the job is called in lists")],
    "metadata": Annotated[
        list[str] | None, typer.Option(help="a pair key=value to find the job by; repeatable")
    ],
    "shape": Annotated[
        str | None, typer.Option(help="what the file's records are, if that is not recognized")
    ],
    "encoding": Annotated[str | None, typer.Option(help="the file's encoding, if it is not UTF-8")],
    "columns": Annotated[
        list[str] | None,
        typer.Option(
            "--map",
            metavar="NAME=COLUMN",
            help="a column that holds question, options, A, B, answer, problem, id or analysis",
        ),
    ],
    "index_base": Annotated[
        int | None,
        typer.Option(min=0, max=1, help="the number of the first option, if answers are numbers"),
    ],
}


def with_form_fields(command: Callable[..., None]) -> Callable[..., None]:
    """Add the form's fields to a command as options. The command gets the given ones in `form`."""

    @functools.wraps(command)
    def run(**given: Any) -> None:
        form = {name: given.pop(name) for name in (*JobSettings.model_fields, *FURTHER)}
        form["metadata"] = pairs_as_json(form["metadata"] or ())
        form["columns"] = _columns(form["columns"] or (), form.pop("more") or ())
        chosen = {name: value for name, value in form.items() if value is not None}
        command(**given, form=chosen)

    signature = inspect.signature(command, eval_str=True)
    own = [found for name, found in signature.parameters.items() if name != "form"]
    kinds = {
        name: Annotated[_kind(field.annotation) | None, typer.Option(help=field.description)]
        for name, field in JobSettings.model_fields.items()
    }
    options = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind)
        for name, kind in (FURTHER | kinds).items()
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


def _columns(mapped: Sequence[str], more: Sequence[str]) -> str | None:
    """The words of --map, of which some may follow without it, as the form field.

    Raises:
        typer.BadParameter: a word is no pair.
    """
    for word in (*mapped, *more):
        if "=" not in word:
            raise typer.BadParameter(
                f"{word!r} is no NAME=COLUMN, such as question=Text", param_hint="--map"
            )
    return " ".join((*mapped, *more)) or None


def further(filters: Mapping[str, str | Sequence[str]], last: str) -> str:
    """The options that list the next page, for a shell."""
    words: list[str] = []
    for name, value in filters.items():
        for one in [value] if isinstance(value, str) else value:
            words += [f"--{name}", one] if one else []
    return shlex.join([*words, "--after", last])


def bare_name(file: Path) -> str:
    """A file's name without its suffix, and without that of its packing."""
    return Path(file.name.removesuffix(".gz").removesuffix(".zst")).stem
