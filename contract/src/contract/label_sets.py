"""Label sets: find all options that a reply gives as its answer, for questions where several may be
right. "A、C", "AC", "A and C", "\\boxed{A, C}", {"answer": ["A", "C"]}, or a list, one a line.

The last match of the contract's patterns counts, as for a single label. A set is read only if it is
clear. A false set would be a vote; a reply without one is drawn again.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from contract.labels import answer_in, extract_label, label_place
from contract.lettering import LEAD
from contract.listing import Listed, begins_with, listed, names_another, ordered, refuses
from contract.naming import named_option
from contract.options import LABELS, own_texts
from contract.plain import PlainLines, plain

# {"answer": ["A", "C"]}
_IN_JSON = r"(?i:[\"'](?:final[_ ]?)?(?:answers?|答案)[\"'])\s*:\s*(\[[^\[\]]*\])"
_END_TOKEN = re.compile(r"<\|[^|<>]*\|>|</s>")
_BULLET = re.compile(r"[ \t]*(?:[-•·*>][ \t]+)?")
# between two matches that belong together, or may: "选A，选C", two boxes, two answer lines
_CLOSED = r"(?:</[A-Za-z]{2,12}>|[\s$\\)\]}*])*+"
_JOINED = re.compile(
    rf"{_CLOSED}(?:[、,;&+]|和|与|以及|及|(?:and|plus)\b)?[ \t$\\(\[{{*]*", re.IGNORECASE
)
_GAP = re.compile(
    rf"{_CLOSED}(?:[。.、,;&+/|\s]|和|与|以及|及|或者?|还是|(?:and|plus|or)\b)*+{LEAD}[\s$\\(\[{{*]*",
    re.IGNORECASE,
)
_LIST_OF_LETTERS = re.compile(r"[A-Za-z](?:(?:[\s、,;&+/]|和|与|及|或|and|or)*[A-Za-z])*")


class _Naming(NamedTuple):
    """A pattern's match: where it begins, and the start and end of its group."""

    begin: int
    start: int
    end: int


class _Options(NamedTuple):
    labels: str
    texts: Sequence[str]


def extract_labels(reply: str, options: Sequence[str], patterns: Sequence[str]) -> str | None:
    """The labels of all options that `reply` gives as its answer, in order: "AC". None if that is
    unclear.
    """
    read = _read(reply, options, patterns)
    return read[0] if read else None


def labels_place(
    reply: str, options: Sequence[str], patterns: Sequence[str]
) -> tuple[int, int] | None:
    """Start and end, in characters of `reply`, of the text that `extract_labels` reads, from the
    first label to the last; None if it reads none.
    """
    read = _read(reply, options, patterns)
    return read[1] if read else None


def _read(
    reply: str, options: Sequence[str], patterns: Sequence[str]
) -> tuple[str, tuple[int, int]] | None:
    if _may_be_confused(options, patterns):
        return _single(reply, options, patterns)
    answer = answer_in(reply, options)
    if answer is None:
        return None
    lines = PlainLines(_END_TOKEN.sub(lambda token: " " * len(token[0]), answer))
    found = _last_set(lines.plain, patterns, _options(options))
    if found is None:
        return None
    skipped = len(reply) - len(answer)
    start = skipped + lines.place(found.start, before=False)
    return found.labels, (start, skipped + lines.place(found.end, before=True))


def _single(
    reply: str, options: Sequence[str], patterns: Sequence[str]
) -> tuple[str, tuple[int, int]] | None:
    label = extract_label(reply, options, patterns)
    place = label_place(reply, options, patterns)
    if label is None or place is None:
        return None
    text = plain(reply[place[0] : place[1]])
    is_list = len(text) > 1 and _LIST_OF_LETTERS.fullmatch(text)
    return None if is_list else (label, place)


def _options(options: Sequence[str]) -> _Options:
    """The labels and texts. Of texts with several lines the first is sought, if it is enough."""
    texts = own_texts(options)
    first = tuple(text.strip().partition("\n")[0] for text in texts)
    return _Options(LABELS[: len(texts)], first if len({*first}) == len({*texts}) else texts)


def _may_be_confused(options: Sequence[str], patterns: Sequence[str]) -> bool:
    """True if an option's text is itself a list of letters ("AB", "A和B") or an answer line. Then
    several labels cannot be told from it, so only a single one is read.
    """
    labels = {*LABELS[: len(options)]}
    for text in map(plain, own_texts(options)):
        is_list = _LIST_OF_LETTERS.fullmatch(text.strip()) is not None
        if is_list and {*re.findall("[A-Z]", text.upper())} <= labels:
            return True
        if any(re.search(pattern, text) for pattern in (*patterns, _IN_JSON)):
            return True
    return False


def _last_set(answer: str, patterns: Sequence[str], options: _Options) -> Listed | None:
    """The set in the last match of a pattern, with the matches that are joined to it."""
    matches = [
        _Naming(match.start(), *match.span(1))
        for pattern in (*patterns, _IN_JSON)
        for match in re.finditer(pattern, answer)
        if match.start(1) < match.end(1)
    ]
    if not matches:
        return None
    naming = max(matches, key=lambda match: match.start)
    found = _set_at(answer, naming, options)
    for _ in options.labels:
        before = max(
            (match for match in matches if match.end <= naming.begin),
            key=lambda match: match.end,
            default=None,
        )
        gap = answer[before.end : naming.begin] if before else ""
        if found is None or before is None or not _GAP.fullmatch(gap):
            return found
        other = _set_at(answer, before, options, reads_below=False)
        is_line_above = "\n" in gap
        if is_line_above and (other is None or not other.alone):
            return found
        differs = other is None or other.labels != found.labels
        if other is None or (differs and (is_line_above or not _JOINED.fullmatch(gap))):
            return None
        labels = ordered(other.labels + found.labels)
        found, naming = found._replace(labels=labels, start=other.start), before
    return None  # more joined matches than options: a repetition


def _set_at(
    answer: str, naming: _Naming, options: _Options, *, reads_below: bool = True
) -> Listed | None:
    """The set that begins in a match's group. It may go on in the line behind the group, and in the
    lines below.
    """
    line_end = answer.find("\n", naming.end)
    line_end = len(answer) if line_end < 0 else line_end
    behind = answer[naming.end : line_end]
    is_cut = answer[naming.end - 1].isalnum() and behind[:1].isalnum()
    end = line_end if is_cut or names_another(behind) else naming.end
    start = _after_bullet(answer, naming.start)
    text = answer[start:end]
    found = listed(text, *options)
    if found is None:
        named = named_option(text, options.texts, alone=True)
        if named is None:
            return None
        found = Listed(named.label, named.start, named.end, alone=True, by_text=True)
    found = found._replace(start=start + found.start, end=start + found.end)
    if not reads_below or (end < line_end and re.search(r"\w", behind)):
        return found
    is_below = "\n" in answer[naming.begin : naming.start]
    return _with_lines_below(answer, line_end, found, options, is_list=is_below)


def _after_bullet(text: str, start: int) -> int:
    bullet = _BULLET.match(text, start)
    return bullet.end() if bullet else start


def _with_lines_below(
    answer: str, end: int, found: Listed, options: _Options, *, is_list: bool
) -> Listed | None:
    """`found` with the options that the lines from `end` on list, one a line, if it `is_list`. None
    if it is not, and the next line names another option, or one of the lines is unclear.
    """
    for line in re.finditer(r"\n[ \t]*([^\n]+)", answer[end:]):
        text = line[1][_after_bullet(line[1], 0) :]
        more = listed(text, *options)
        if more is None or not more.alone:
            first = {*begins_with(text, *options)}
            names_more = not first <= {*found.labels} and not refuses(text)
            return None if names_more and (is_list or found.by_text) else found
        if not {*more.labels} <= {*found.labels}:
            if not is_list:
                return None
            start = end + line.end() - len(text)
            labels = ordered(found.labels + more.labels)
            found = found._replace(labels=labels, end=start + more.end, by_text=True)
        elif not is_list:
            return found
    return found
