"""Label extraction: find the option that a reply gives as its answer, or None.

A reply that cannot be read gives None; nothing is guessed. Patterns come from the contract. Each
has one group: the text that should name an option. The last match of any pattern in the reply
counts, because a worked solution may mention other options before its answer. Reasoning between
tags is not read.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from contract.alone import counts
from contract.naming import named_option
from contract.plain import PlainLines, plain
from contract.reasoning import split_reasoning, without_tags_of
from contract.remarks import STATED, named_before_remark

# The answer is at the end of a reply. The limit bounds the work on a reply that repeats one line.
_READ_CHARS = 20_000
# the next line, without the marks that open a list item
_BELOW = re.compile(r"\n[ \t\-•·>]*(.*)")
# between two boxes: \boxed{A}, \boxed{C}
_JOINT = re.compile(r"[)}$\\\]* \t]*(?:[、，,;；/&+]|和|与|或者?|及|以及|and|or)?[(${\[\\* \t]*")


class _Read(NamedTuple):
    """A label and its place in the reply."""

    label: str
    start: int
    end: int


class _Place(NamedTuple):
    """Start and end of a text that should name an option, with the spaces and marks around it.
    `beside` is the text of the match before it if only a joint is between the two. A remark may
    stand behind the option if it `is_stated`.
    """

    start: int
    end: int
    beside: str
    is_stated: bool


def extract_label(reply: str, options: Sequence[str], patterns: Sequence[str]) -> str | None:
    """The label of the option that `reply` gives as its answer. None if it names no option, an
    unknown one or several. If several options have the same text, the first is meant.
    """
    read = _read(reply, options, patterns)
    return read and read.label


def label_place(
    reply: str, options: Sequence[str], patterns: Sequence[str]
) -> tuple[int, int] | None:
    """Start and end, in characters of `reply`, of the letter or text that `extract_label` reads;
    None if it reads none.
    """
    read = _read(reply, options, patterns)
    return read and (read.start, read.end)


def _read(reply: str, options: Sequence[str], patterns: Sequence[str]) -> _Read | None:
    answer = answer_in(reply, options)
    if answer is None:
        return None
    found = _naming_place(answer, options, patterns)
    if found is None:
        return None
    start, end, beside, is_stated = found
    end = _end_of_text(answer, start, end, options)
    named = named_option(answer[start:end], options)
    if named is None and is_stated:
        named = named_before_remark(answer[start:end], options)
    if named is None:
        return None
    # "A" on one line and "C" on the next, or in the next box, are two answers
    below = _BELOW.match(answer, end)
    for text in filter(str.strip, (below[1] if below else "", beside)):
        other = named_option(text, options, alone=True)
        if other is not None and other.label != named.label:
            return None
    start += len(reply) - len(answer)
    return _Read(named.label, start + named.start, start + named.end)


def answer_in(reply: str, options: Sequence[str]) -> str | None:
    """The end of `reply` that is read: behind its reasoning. None if that does not end."""
    _, answer = split_reasoning(without_tags_of(options, reply))
    if answer is None:
        return None
    answer = reply[len(reply) - len(answer) :]  # with the tags that its options hold
    return answer[-max(_READ_CHARS, 2 * max(map(len, options), default=0)) :]


def _naming_place(answer: str, options: Sequence[str], patterns: Sequence[str]) -> _Place | None:
    """The place in the last match that should name an option."""
    lines = PlainLines(answer)
    matches = [
        match
        for pattern in patterns
        for match in re.finditer(pattern, lines.plain)
        if counts(match, lines.plain, options)
    ]
    if not matches:
        return None
    naming = max(matches, key=lambda match: match.start(1))
    naming = next(
        (match for match in matches if _quotes(match, naming, lines.plain, options)), naming
    )
    first, last = naming.span(1)
    if first < 0 or first == last:
        return None
    before = max(
        (match for match in matches if 0 <= match.start(1) <= match.end(1) <= naming.start()),
        key=lambda match: match.end(1),
        default=None,
    )
    joined = before and _JOINT.fullmatch(lines.plain, before.end(1), naming.start())
    start = lines.place(first, before=True)
    while start and answer[start - 1] in " \t":
        start -= 1
    beside = before[1] if before and joined else ""
    is_stated = STATED in naming.re.groupindex
    return _Place(start, lines.place(last, before=False), beside, is_stated)


def _quotes(
    outer: re.Match[str], inner: re.Match[str], answer: str, options: Sequence[str]
) -> bool:
    """True if `inner` begins in the text of an option that `outer` names together with its letter.
    Example: "答案是：A. 答案是：B", where option A is 答案是：B.
    """
    if not outer.start(1) < inner.start(1):
        return False
    for option in options:
        text = plain(option).strip()
        at = answer.find(text, outer.start(1))
        if 0 <= at <= min(inner.start(), outer.end(1)) and inner.start(1) < at + len(text):
            return bool(answer[outer.start(1) : at].strip())
    return False


def _end_of_text(answer: str, start: int, end: int, options: Sequence[str]) -> int:
    """`end`, or the end of a multi-line option that begins before `end` and goes beyond it."""
    ends = [end]
    for option in options:
        text = option.strip()
        at = answer.find(text, start) if "\n" in text else -1
        if 0 <= at < end:
            ends.append(at + len(text))
    return max(ends)
