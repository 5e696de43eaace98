"""Strict JSON: a value read here can be written back, and every reader understands it the same way.

Python's own reader accepts NaN, turns 1e999 into infinity, rounds numbers, and keeps the last of
two equal keys. This reader refuses all of these and names the place.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterator
from decimal import Context, Decimal
from itertools import islice
from typing import Any, NamedTuple

from contract.sentences import Sentence

MAX_DIGITS = 1000
# Leaves room on the call stack: a row may be written from deeper in the stack than it was read.
MAX_DEPTH = 100
MOST_FAULTS = 1000  # one text can hold millions
# 17 digits identify a double, whichever way the program that wrote them rounds.
_DIGITS_OF_A_DOUBLE = 17
# The messages of Python's reader, without "at" at their end.
_READERS_WORDS: dict[str, str] = {
    sentence: sentence
    for sentence in (
        Sentence("json-name-expected", "Expecting property name enclosed in double quotes"),
        Sentence("json-value-expected", "Expecting value"),
        Sentence("json-comma-expected", "Expecting ',' delimiter"),
        Sentence("json-colon-expected", "Expecting ':' delimiter"),
        Sentence("json-extra-data", "Extra data"),
        Sentence("json-string-not-ended", "Unterminated string starting"),
        Sentence("json-control-character", "Invalid control character"),
        Sentence("json-comma-before-end-of-object", "Illegal trailing comma before end of object"),
        Sentence("json-comma-before-end-of-array", "Illegal trailing comma before end of array"),
        Sentence("json-bad-escape", "Invalid \\escape"),
        Sentence("json-bad-unicode-escape", "Invalid \\uXXXX escape"),
    )
}
_KEY_TWICE = Sentence("key-twice", "this key stands twice in one object; keep one")
_TOO_DEEP = Sentence("nested-too-deeply", "not usable: nested too deeply")
_TOO_MANY_LEVELS = Sentence(
    "too-many-levels",
    "not usable: nested too deeply, more than {levels} levels",
    levels=MAX_DEPTH,
)


class JsonFault(NamedTuple):
    """`line` counts from 1 within the text; it is used if the text is not JSON. `place` is the path
    to the value, "" for the whole text.
    """

    line: int
    place: str
    reason: Sentence

    def __str__(self) -> str:
        where = f"line {self.line}: " if self.line > 1 else self.place and f"{self.place}: "
        return where + self.reason


class StrictJsonError(ValueError):
    """The text is not JSON, or is JSON that cannot be written back unchanged."""

    def __init__(self, faults: list[JsonFault]) -> None:
        super().__init__(str(faults[0]))
        self.faults = faults


class _Unkeepable(NamedTuple):
    """Replaces a value that cannot be kept."""

    reason: Sentence


class _Doubled(dict[str, Any]):
    """An object that has a key twice."""

    key: str


class _Reader:
    """The hooks that json.loads calls for each number, constant and object. `seen` collects what
    must be refused once its place is known.
    """

    def __init__(self) -> None:
        self.seen: list[object] = []

    def refused(self, reason: Sentence) -> _Unkeepable:
        if len(self.seen) < MOST_FAULTS:
            self.seen.append(_Unkeepable(reason))
        last = self.seen[-1]
        return last if isinstance(last, _Unkeepable) else _Unkeepable(reason)

    def constant(self, text: str) -> _Unkeepable:
        return self.refused(
            Sentence(
                "no-json-value", "{value} is no JSON; write null, or leave the key out", value=text
            )
        )

    def whole(self, text: str) -> Any:
        digits = len(text.lstrip("-"))
        if digits > MAX_DIGITS:
            return self.refused(
                Sentence(
                    "number-too-long",
                    "a number of {digits} digits is too long; put it in quotes",
                    digits=digits,
                )
            )
        return int(text)

    def fraction(self, text: str) -> Any:
        value = float(text)
        return value if _is_kept(text, value) else self.refused(_why_not_kept(text, value))

    def pairs(self, found: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(found)
        if len(made) == len(found):
            return made
        times = Counter(key for key, _ in found)
        doubled = _Doubled(made)
        doubled.key = next(key for key in made if times[key] > 1)
        self.seen.append(doubled)
        return doubled


def read_json(data: bytes) -> Any:
    """The JSON value in `data`, which must be UTF-8.

    Raises:
        StrictJsonError: with the place and reason of each of the first `MOST_FAULTS` faults.
    """
    reader = _Reader()
    try:
        value = json.loads(
            data.decode("utf-8"),
            parse_constant=reader.constant,
            parse_int=reader.whole,
            parse_float=reader.fraction,
            object_pairs_hook=reader.pairs,
        )
    except UnicodeDecodeError as error:
        line, column = data.count(b"\n", 0, error.start) + 1, _column(data, error.start)
        reason = Sentence(
            "not-utf-8",
            "not UTF-8: byte {byte} at byte {column} of the line; save the file as UTF-8",
            byte=f"0x{error.object[error.start]:02x}",
            column=column,
        )
        raise StrictJsonError([JsonFault(line, "", reason)]) from None
    except json.JSONDecodeError as error:
        said = error.msg.removesuffix(" at")
        reason = Sentence(
            "not-json",
            "not JSON: {reason} at column {column}",
            reason=_READERS_WORDS.get(said, said),
            column=error.colno,
        )
        raise StrictJsonError([JsonFault(error.lineno, "", reason)]) from None
    except RecursionError:
        raise StrictJsonError([JsonFault(1, "", _TOO_DEEP)]) from None
    # half a surrogate pair needs an escape, and deep nesting needs many brackets
    deep = data.count(b"[") + data.count(b"{") > MAX_DEPTH
    if reader.seen or deep or b"\\ud" in data or b"\\uD" in data:
        faults = [
            JsonFault(1, place, reason) for place, reason in islice(_faults(value), MOST_FAULTS)
        ]
        if faults:
            raise StrictJsonError(faults)
    return value


def write_json(value: Any, *, indent: int | None = None) -> str:
    """`value` as JSON; non-ASCII letters are not escaped.

    Raises:
        ValueError: `value` holds NaN or an infinity, which JSON cannot express.
    """
    return json.dumps(value, ensure_ascii=False, allow_nan=False, indent=indent)


def finite(value: Any) -> Any:
    """`value` with None in place of each NaN or infinity: measured values may hold them."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _is_kept(text: str, value: float) -> bool:
    """True if `value`, written back, is read as the same number as `text`."""
    if not math.isfinite(value):
        return False
    mantissa = re.split("[eE]", text)[0]
    digits = len(mantissa.replace(".", "").strip("-0"))
    if value == 0 or digits <= _DIGITS_OF_A_DOUBLE:
        return bool(value) or digits == 0
    exact = Decimal(text)
    return exact in (Decimal(repr(value)), Context(prec=digits).create_decimal(value))


def _why_not_kept(text: str, value: float) -> Sentence:
    shown = _short(text)
    if not math.isfinite(value):
        return Sentence(
            "number-becomes-infinite",
            "{number} would become infinity; put it in quotes to keep it",
            number=shown,
        )
    return Sentence(
        "number-changes",
        "{number} would become {written}; put it in quotes to keep it",
        number=shown,
        written=write_json(value),
    )


def _faults(value: Any) -> Iterator[tuple[str, Sentence]]:
    """Yield the place and reason of each value that cannot be kept, in the order of the text."""
    left: list[Iterator[tuple[str, int, Any]]] = [iter([("", 0, value)])]
    while left:
        following = next(left[-1], None)
        if following is None:
            left.pop()
            continue
        place, depth, found = following
        if isinstance(found, _Unkeepable):
            yield place, found.reason
        elif isinstance(found, str):
            if half := _half_pair(found):
                yield place, half
        elif depth >= MAX_DEPTH and isinstance(found, list | dict):
            yield "", _TOO_MANY_LEVELS
            return
        elif isinstance(found, list):
            left.append(_items(place, depth + 1, found))
        elif isinstance(found, dict):
            if isinstance(found, _Doubled):
                yield _under(place, found.key), _KEY_TWICE
            for key in found:
                if half := _half_pair(key):
                    shown = json.dumps(_short(key), allow_nan=False)
                    yield place, Sentence("bad-key", "the key {key} {fault}", key=shown, fault=half)
            left.append(_members(place, depth + 1, found))


def _items(place: str, depth: int, found: list[Any]) -> Iterator[tuple[str, int, Any]]:
    return ((f"{place}[{i}]", depth, item) for i, item in enumerate(found))


def _members(place: str, depth: int, found: dict[str, Any]) -> Iterator[tuple[str, int, Any]]:
    return ((_under(place, key), depth, item) for key, item in found.items())


def _half_pair(text: str) -> Sentence | None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        return Sentence(
            "half-surrogate-pair",
            "holds {escape}, half a surrogate pair, no character",
            escape=f"\\u{ord(text[error.start]):04x}",
        )
    return None


def _under(place: str, key: str) -> str:
    if not key.isidentifier():
        return f"{place}[{json.dumps(_short(key), allow_nan=False)}]"
    return f"{place}.{_short(key)}" if place else _short(key)


def _short(key: str) -> str:
    return key if len(key) <= 40 else key[:37] + "..."


def _column(data: bytes, offset: int) -> int:
    return offset - data.rfind(b"\n", 0, offset)
