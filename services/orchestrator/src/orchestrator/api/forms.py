"""The form of POST /jobs, field by field: the settings, the job's name and metadata, and how the
file is to be read.
"""

from __future__ import annotations

from collections.abc import Iterator
from inspect import Parameter, Signature
from types import NoneType
from typing import Annotated, Any, Literal, cast, get_args, get_origin

from fastapi import Form
from pydantic import ValidationError

from contract import Sentence, StrictJsonError, read_json
from contract.files.encodings import ENCODINGS
from contract.files.known import SHAPES
from contract.files.shapes import Reading
from orchestrator.api.parameters import (
    CONTROL,
    CONTROL_OR_BREAK,
    LINE,
    TEXT,
    check_characters,
    reason_of,
)
from orchestrator.errors import InvalidSettingError, shortened
from orchestrator.jobs.records import JobSettings, Particulars
from orchestrator.mapping import parse_columns

LONGEST_NAME = 200
# The limits of OpenAI's API.
MOST_PAIRS, LONGEST_KEY, LONGEST_VALUE = 16, 64, 512
BOUNDS = ("enum", "pattern", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")


def job_settings(**chosen: Any) -> JobSettings:
    try:
        settings = JobSettings.model_validate(chosen)
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
    if settings.vote_temperature is not None and settings.vote != "confidence":
        raise InvalidSettingError(
            Sentence(
                "temperature-without-confidence",
                "vote_temperature: needs vote=confidence, and this job has vote={vote}; leave it "
                "out, or post vote=confidence",
                vote=settings.vote,
            )
        )
    return settings


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


_Name = Annotated[
    str | None,
    Form(
        description="what the job is called in lists",
        min_length=1,
        max_length=LONGEST_NAME,
        json_schema_extra={"pattern": LINE},
    ),
]
_Metadata = Annotated[
    str | None,
    Form(
        description=f"a JSON object of texts to find the job by: {MOST_PAIRS} pairs at most, "
        f"keys of up to {LONGEST_KEY} and values of up to {LONGEST_VALUE} characters",
        min_length=1,
        json_schema_extra={"contentMediaType": "application/json"},
    ),
]
_Shape = Annotated[
    str | None,
    Form(
        description="what the file's records are, if that is not recognized",
        json_schema_extra={"enum": [*SHAPES]},
    ),
]
_Encoding = Annotated[
    str | None,
    Form(
        description="the file's encoding, if it is not UTF-8",
        json_schema_extra={"enum": [*ENCODINGS]},
    ),
]
_Columns = Annotated[
    str | None,
    Form(
        description="which columns of flat rows hold what, as in question=题干 answer=正确答案",
        min_length=1,
        json_schema_extra={"pattern": TEXT},
    ),
]
_IndexBase = Annotated[
    int | None,
    Form(description="the number of the first option, if answers are numbers", ge=0, le=1),
]


def particulars(
    name: _Name = None,
    metadata: _Metadata = None,
    shape: _Shape = None,
    encoding: _Encoding = None,
    columns: _Columns = None,
    index_base: _IndexBase = None,
) -> Particulars:
    """What a client tells of its file, besides the settings.

    Raises:
        InvalidRequestError, InvalidSettingError: naming the field that cannot be taken, and the
            pair of metadata.
    """
    check_characters("name", name or "", CONTROL_OR_BREAK)
    return Particulars(
        name=(name or "").strip() or None,
        metadata=pairs_of(metadata or "{}"),
        reading=Reading(
            shape=shape,
            encoding=encoding,
            columns=parse_columns(columns or ""),
            index_base=cast(Literal[0, 1] | None, index_base),
        ),
    )


def pairs_of(metadata: str) -> dict[str, str]:
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
