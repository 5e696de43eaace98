"""The form of POST /jobs, field by field: the settings, and the job's name and metadata."""

from __future__ import annotations

from collections.abc import Iterator
from inspect import Parameter, Signature
from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_origin

from fastapi import Form
from pydantic import ValidationError

from contract import Sentence, StrictJsonError, read_json
from orchestrator.api.parameters import CONTROL, CONTROL_OR_BREAK, LINE, check_characters, reason_of
from orchestrator.errors import InvalidSettingError, shortened
from orchestrator.jobs.records import JobSettings

LONGEST_NAME = 200
# The limits of OpenAI's API.
MOST_PAIRS, LONGEST_KEY, LONGEST_VALUE = 16, 64, 512
BOUNDS = ("enum", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")


def job_settings(**chosen: Any) -> JobSettings:
    try:
        return JobSettings.model_validate(chosen)
    except ValidationError as error:
        first = error.errors()[0]
        raise InvalidSettingError(
            Sentence(
                "invalid-setting",
                "{name}: {reason}, is {value}",
                name=str(first["loc"][0]),
                reason=reason_of(first),
                value=repr(first["input"]),
            )
        ) from error


def _form_fields() -> Iterator[Parameter]:
    """The settings as form fields. Their bounds are documented here and checked by `JobSettings`.

    A field that may be None is left out of the form, because a form has no null.
    """
    documented = JobSettings.model_json_schema()["properties"]
    for name, field in JobSettings.model_fields.items():
        kind = str if get_origin(field.annotation) is Literal else field.annotation
        kind = next((k for k in get_args(kind) if k is not NoneType), kind)
        bounds = documented[name].get("anyOf", [documented[name]])[0]
        kept = {key: bounds[key] for key in BOUNDS if key in bounds}
        about = Form(description=field.description, json_schema_extra=kept)
        form = Annotated[kind, about]  # type: ignore[valid-type]
        yield Parameter(name, Parameter.KEYWORD_ONLY, default=field.default, annotation=form)


job_settings.__signature__ = Signature(list(_form_fields()))  # type: ignore[attr-defined]


def job_name(
    name: Annotated[
        str,
        Form(
            description="what the job is called in lists",
            max_length=LONGEST_NAME,
            json_schema_extra={"pattern": LINE},
        ),
    ] = "",
) -> str | None:
    check_characters("name", name, CONTROL_OR_BREAK)
    return name.strip() or None


def job_metadata(
    metadata: Annotated[
        str,
        Form(
            description=f"a JSON object of texts to find the job by: {MOST_PAIRS} pairs at most, "
            f"keys of up to {LONGEST_KEY} and values of up to {LONGEST_VALUE} characters",
            json_schema_extra={"contentMediaType": "application/json"},
        ),
    ] = "{}",
) -> dict[str, str]:
    """The pairs in the form field.

    Raises:
        InvalidSettingError: naming the first pair that cannot be taken.
    """
    pairs = _json_object(metadata)
    if len(pairs) > MOST_PAIRS:
        raise InvalidSettingError(
            Sentence(
                "metadata-too-many",
                "metadata: may have {limit} pairs at most, has {count}",
                limit=MOST_PAIRS,
                count=len(pairs),
            )
        )
    for key, value in pairs.items():
        if reason := _pair_fault(key, value):
            raise InvalidSettingError(
                Sentence(
                    "metadata-pair",
                    "metadata, the pair {key}: {reason}",
                    key=repr(shortened(key)),
                    reason=reason,
                )
            )
    return pairs


def _json_object(text: str) -> dict[str, Any]:
    place, reason = "", Sentence("no-json-object", "it is no JSON object")
    try:
        found = read_json(text.encode())
    except StrictJsonError as error:
        _, place, reason = error.faults[0]
    else:
        if isinstance(found, dict):
            return found
    if place:
        reason = Sentence("at-place", "at {place}: {reason}", place=place, reason=reason)
    raise InvalidSettingError(
        Sentence(
            "metadata-unreadable",
            "metadata: {reason}; write a JSON object of texts, as in {example}",
            reason=reason,
            example='{"subject": "law"}',
        )
    )


def _pair_fault(key: str, value: object) -> Sentence | None:
    if not 1 <= len(key) <= LONGEST_KEY:
        return Sentence(
            "metadata-key-length",
            "its key must have 1 to {limit} characters, has {count}",
            limit=LONGEST_KEY,
            count=len(key),
        )
    if not isinstance(value, str):
        return Sentence("metadata-no-text", "its value is no text; put it in quotes")
    if len(value) > LONGEST_VALUE:
        return Sentence(
            "metadata-value-length",
            "its value must have {limit} characters at most, has {count}",
            limit=LONGEST_VALUE,
            count=len(value),
        )
    if found := CONTROL.search(key + value):
        return Sentence(
            "metadata-control-character",
            "holds the control character {character!r}",
            character=found[0],
        )
    return None
