"""Reads a process's settings, or reports one line for each setting that is wrong."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import NoReturn, TypeVar
from urllib.parse import urlsplit

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

WRONG_SETTINGS = 2

Kind = TypeVar("Kind", bound=BaseModel)


def end_with(reason: str) -> NoReturn:
    print(reason, file=sys.stderr, flush=True)
    sys.exit(WRONG_SETTINGS)


def read_settings(kind: type[Kind], refuse: Callable[[str], NoReturn] = end_with) -> Kind:
    """A process's settings.

    If some are wrong, `refuse` gets one line for each and ends the process. The lines hold no
    values, because a value may be a key.
    """
    try:
        return kind()
    except ValidationError as error:
        refuse("\n".join(map(_line, error.errors(include_input=False, include_url=False))))


def _line(fault: ErrorDetails) -> str:
    name = ".".join(map(str, fault["loc"])).upper()
    said = fault["msg"].removeprefix("Value error, ")
    reason = "".join(c if c.isprintable() else " " for c in said)  # so that it is one line
    return f"wrong setting: {name}: {reason}" if name else reason


def url_fault(url: str) -> str | None:
    """The reason why a text is not the address of an HTTP server; None if it is one.

    It does not quote the text, which may hold a password.
    """
    try:
        parts = urlsplit(url)
        well = parts.scheme in ("http", "https") and parts.hostname
        _ = parts.port  # raises ValueError if it is not a number, or out of range
    except ValueError:
        well = False
    return None if well else "it is no address of a server; write http://host:port"
