"""Checks a call's parameters and form fields: FastAPI silently drops those that it does not know.

Without the check, a misspelt setting would get its default, and a doubled one its last value.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Coroutine, Iterator
from difflib import get_close_matches
from typing import Any, get_origin
from urllib.parse import unquote_to_bytes

from fastapi import Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from pydantic_core import ErrorDetails
from python_multipart.multipart import parse_options_header

from contract import Sentence
from orchestrator.errors import InvalidRequestError, shortened

# More than any call has. A form with more is refused while it is read.
MOST_FORM_FIELDS = 50
MOST_FORM_FILES = 4
# Metadata may take this much: 9,216 characters, each an escape of 12 bytes.
MOST_FIELD_BYTES = 128 << 10
PARAMETER = Sentence("parameter", "parameter")
FORM_FIELD = Sentence("form-field", "form field")
_QUERY_PARAMETER = Sentence("query-parameter", "parameter of the query")
CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
# the same for the OpenAPI document: a text without control characters
TEXT = r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f]*$"
# and for a text without line breaks and tabs either
CONTROL_OR_BREAK = re.compile(r"[\x00-\x1f\x7f]")
LINE = r"^[^\x00-\x1f\x7f]*$"


class CheckedRoute(APIRoute):
    """A call that refuses unknown parameters and form fields, and doubled ones."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        query = dict(_parameters(self.dependant, "query_params"))
        form = dict(_parameters(self.dependant, "body_params"))

        async def check_and_handle(request: Request) -> Response:
            self.admit(request)
            _check_text(request.scope["query_string"])
            _check(PARAMETER, request.query_params.multi_items(), query, form)
            if not form:
                return await handle(request)
            _check_charset(request.headers.get("content-type", ""))
            async with request.form(
                max_files=MOST_FORM_FILES,
                max_fields=MOST_FORM_FIELDS,
                max_part_size=MOST_FIELD_BYTES,
            ) as fields:  # read once: FastAPI reuses this form
                _check(FORM_FIELD, fields.multi_items(), form, query)
                return await handle(request)

        return check_and_handle

    def admit(self, request: Request) -> None:
        """Refuse callers that may not make this call, before the body is read."""


def _parameters(dependant: Dependant, kind: str) -> Iterator[tuple[str, bool]]:
    """Yield the names of the call's and its dependencies' parameters, each with True if it is a
    list.
    """
    for field in getattr(dependant, kind):
        yield field.alias, get_origin(field.field_info.annotation) is list
    for needed in dependant.dependencies:
        yield from _parameters(needed, kind)


def _check(
    what: Sentence, given: list[tuple[str, Any]], known: dict[str, bool], elsewhere: Collection[str]
) -> None:
    for name, count in Counter(name for name, _ in given).items():
        if name not in known:
            raise InvalidRequestError(_unknown(what, name, known, elsewhere))
        if count > 1 and not known[name]:
            raise InvalidRequestError(
                Sentence(
                    "given-twice",
                    "{name}: is given {count} times; give it once",
                    name=name,
                    count=count,
                )
            )
    for name, value in given:
        if isinstance(value, str):
            check_characters(name, value, CONTROL)
        if value == "" and what == FORM_FIELD:
            raise InvalidRequestError(
                Sentence(
                    "empty-field",
                    "{name}: is empty; give a value, or leave the field out",
                    name=name,
                )
            )


def check_characters(name: str, value: str, refused: re.Pattern[str]) -> None:
    """Raises InvalidRequestError if `value` holds a refused character."""
    if found := refused.search(value):
        raise InvalidRequestError(
            Sentence(
                "control-character",
                "{name}: holds the control character {character!r}",
                name=name,
                character=found[0],
            )
        )


def _unknown(
    what: Sentence, name: str, known: Collection[str], elsewhere: Collection[str]
) -> Sentence:
    if name in elsewhere:
        other = FORM_FIELD if what == PARAMETER else _QUERY_PARAMETER
        hint = Sentence("send-elsewhere", "send it as a {other}", other=other)
    elif near := get_close_matches(name, known, 1):
        hint = Sentence("do-you-mean", "do you mean {near}?", near=near[0])
    else:
        names = ", ".join(known) or Sentence("none", "none")
        hint = Sentence("known-names", "it has {names}", names=names)
    return Sentence(
        "unknown-name",
        "{name!r}: this call has no such {what}; {hint}",
        name=shortened(name),
        what=what,
        hint=hint,
    )


def reason_of(fault: ErrorDetails) -> Sentence:
    """Why pydantic refuses a value. The code is made of pydantic's own, such as `int_parsing`.
    Literals are a list without pydantic's English "or".
    """
    params = {
        name: value if isinstance(value, str | int | float) else str(value)
        for name, value in fault.get("ctx", {}).items()
    }
    if fault["type"] == "literal_error":
        params["expected"] = str(params["expected"]).replace(" or ", ", ")
    return Sentence.made(fault["msg"], f"pydantic-{fault['type'].replace('_', '-')}", params)


def _check_text(query: bytes) -> None:
    try:
        unquote_to_bytes(query).decode()
    except UnicodeDecodeError as error:
        raise InvalidRequestError(
            Sentence("query-not-utf-8", "the query is not UTF-8 where it is percent-decoded")
        ) from error


def _check_charset(content_type: str) -> None:
    """Some of Python's codecs raise other errors than of decoding, or decode to no characters."""
    _, options = parse_options_header(content_type)
    charset = options.get(b"charset", b"utf-8")
    if charset.lower() not in (b"utf-8", b"utf8"):
        named = shortened(charset.decode("latin-1"))
        raise InvalidRequestError(
            Sentence(
                "form-not-utf-8",
                "the form's charset is {charset}; send the form as UTF-8",
                charset=repr(named),
            )
        )
