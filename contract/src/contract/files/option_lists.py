"""Lists of options as files write them: a list, a mapping from letters, or either as text."""

from __future__ import annotations

import ast
import re
import unicodedata
from collections.abc import Mapping
from typing import Any, NamedTuple

from contract.options import LABELS
from contract.strict_json import StrictJsonError, read_json, write_json

MOST_CHARS = 1 << 20
_LITERAL = r"(?:'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")"
# numpy writes a list of texts without commas
_WITHOUT_COMMAS = re.compile(rf"\[\s*{_LITERAL}(?:\s+{_LITERAL})+\s*\]", re.DOTALL)


class NoText(NamedTuple):
    """An option that is no text: its place ("[1]" for the second), and its value."""

    place: str
    value: Any


def option_texts(value: Any) -> list[str] | None:
    """The texts of the options in `value`; None if it holds no list of options, or one with an
    option that is no text. Blank ones at the end of a mapping are left out, others are kept.

    It is a list of texts or numbers, a list of {"label": "A", "text": ...}, {"A": ..., "B": ...},
    {"text": [...], "label": [...]}, or one of these as a text in JSON or Python.
    """
    options = _options_in(value)
    return _texts(options) if options is not None else None


def option_without_text(value: Any) -> NoText | None:
    """The first option in `value` that is blank, or neither a text nor a number."""
    for index, one in enumerate(_options_in(value) or []):
        text = text_of(one)
        if text is None or not text.strip():
            return NoText(f"[{index}]", one)
    return None


def _options_in(value: Any) -> list[Any] | None:
    if isinstance(value, str):
        value = _value_in(value)
    if isinstance(value, Mapping):
        texts, labels = value.get("text"), value.get("label")
        if isinstance(texts, list) and isinstance(labels, list):
            return _in_order(labels, texts)
        return _in_order([*value], [*value.values()])
    if not isinstance(value, list):
        return None
    if value and all(isinstance(one, Mapping) and "text" in one for one in value):
        marks = [one.get("label", one.get("key", LABELS[i])) for i, one in enumerate(value[:26])]
        return _in_order(marks, [one["text"] for one in value])
    return value


def text_of(value: Any) -> str | None:
    """A text or a number as text."""
    if isinstance(value, str):
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return write_json(value)
    return None


def is_blank(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def list_in(text: str) -> list[Any] | None:
    """The list that a text holds in JSON or Python; None if it holds none."""
    found = _value_in(text)
    return found if isinstance(found, list) else None


def _texts(values: list[Any]) -> list[str] | None:
    texts = [text for value in values if (text := text_of(value)) is not None]
    return texts if len(texts) == len(values) else None


def _in_order(marks: list[Any], texts: list[Any]) -> list[Any] | None:
    """The texts in the order of their marks, which are A, B, ... or numbers from 0 or 1."""
    places = [_place(mark) for mark in marks]
    known = sorted(place for place in places if place is not None)
    if len(texts) != len(places) or not known or len(known) != len(places):
        return None
    if known != [*range(known[0], known[0] + len(known))] or known[0] not in (0, 1):
        return None
    if known[0] == 1 and not str(marks[0]).strip().isdigit():
        return None
    pairs = sorted(zip([place or 0 for place in places], texts, strict=True), key=lambda p: p[0])
    texts = [text for _, text in pairs]
    while texts and is_blank(texts[-1]):  # tables have as many columns as the longest row
        texts.pop()
    return texts


def _place(mark: Any) -> int | None:
    text = unicodedata.normalize("NFKC", str(mark)).strip("()[].:、 ").upper()
    if re.fullmatch("[0-9]{1,2}", text):
        return int(text)
    return LABELS.index(text) if len(text) == 1 and text in LABELS else None


def _value_in(text: str) -> Any:
    stripped = text.strip()
    if not stripped.startswith(("[", "{", "(")) or len(stripped) > MOST_CHARS:
        return None
    try:
        return read_json(stripped.encode("utf-8", "surrogatepass"))
    except StrictJsonError:
        pass
    try:
        if _WITHOUT_COMMAS.fullmatch(stripped):
            stripped = f"[{', '.join(re.findall(_LITERAL, stripped, re.DOTALL))}]"
        found = ast.literal_eval(stripped)
        write_json(found).encode("utf-8")  # no infinity, half a surrogate pair or set
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return None
    return list(found) if isinstance(found, tuple) else found
