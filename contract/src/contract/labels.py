"""Label extraction: which of a question's options a reply settles on, or none.

A reply that cannot be read gives None; nothing is guessed. Patterns come from the contract. Each
has one group, the text that should name an option; of all matches of all patterns the last in the
reply counts, because a worked solution may mention options on its way to its answer. Reasoning
between tags is not read at all.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from contract.naming import named_option
from contract.plain import PlainLines
from contract.reasoning import split_reasoning


class _Read(NamedTuple):
    """A label, and the place in the reply that it was read from."""

    label: str
    start: int
    end: int


def extract_label(reply: str, options: Sequence[str], patterns: Sequence[str]) -> str | None:
    """The label of the option that `reply` settles on; None where it names no option, an unknown
    one or several. Where several options share the text, the first of them is meant.
    """
    read = _read(reply, options, patterns)
    return read and read.label


def label_place(
    reply: str, options: Sequence[str], patterns: Sequence[str]
) -> tuple[int, int] | None:
    """Start and end, in characters of `reply`, of the letter or text that `extract_label` reads;
    None where it reads none.
    """
    read = _read(reply, options, patterns)
    return read and (read.start, read.end)


def _read(reply: str, options: Sequence[str], patterns: Sequence[str]) -> _Read | None:
    _, answer = split_reasoning(reply)
    if answer is None:
        return None
    place = _naming_place(answer, patterns)
    if place is None:
        return None
    start, end = place
    named = named_option(answer[start : _end_of_text(answer, start, end, options)], options)
    if named is None:
        return None
    start += len(reply) - len(answer)
    return _Read(named.label, start + named.start, start + named.end)


def _naming_place(answer: str, patterns: Sequence[str]) -> tuple[int, int] | None:
    """Where the text stands that the last match says should name an option, with the spaces and the
    marks around it.
    """
    lines = PlainLines(answer)
    matches = [match for pattern in patterns for match in re.finditer(pattern, lines.plain)]
    if not matches:
        return None
    first, last = max(matches, key=lambda match: match.start(1)).span(1)
    if first < 0 or first == last:
        return None
    start = lines.place(first, before=True)
    while start and answer[start - 1] in " \t":
        start -= 1
    return start, lines.place(last, before=False)


def _end_of_text(answer: str, start: int, end: int, options: Sequence[str]) -> int:
    """`end`, or beyond it the end of an option of several lines that begins before it."""
    ends = [end]
    for option in options:
        text = option.strip()
        at = answer.find(text, start) if "\n" in text else -1
        if 0 <= at < end:
            ends.append(at + len(text))
    return max(ends)
