"""Label sets: find all options that a reply gives as its answer, for questions where several may be
right. "A、C", "AC", "A and C", "\\boxed{A, C}", {"answer": ["A", "C"]}, or a list, one a line.

The last match of the contract's patterns counts, as for a single label. A set is read only if it is
clear. A false set would be a vote; a reply without one is drawn again.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from contract.alone import ALONE, OPTION, counts, stands_alone
from contract.labels import answer_in, extract_label, label_place
from contract.lettering import LEAD
from contract.listing import (
    Listed,
    begins_with,
    listed,
    names_another,
    ordered,
    refuses,
    thinks_again,
)
from contract.naming import named_option
from contract.options import LABELS, own_texts
from contract.permuting import LETTER
from contract.plain import PlainLines, plain

# {"answer": ["A", "C"]}; what is nested behind it in the same object is not read
_IN_JSON = (
    r"(?i:[\"'](?:final[_ ]?)?(?:answers?|答案)[\"'])\s*:\s*(\[[^\[\]]*\])"
    r"(?:[^{}]{0,1000}+\{[^{}]{0,1000}+\})*+"
)
_END_TOKEN = re.compile(r"(?:<\|[^|<>]*\|>|</s>)(?=\s*\Z)")
_BULLET = re.compile(r"[ \t]*(?:[-•·*>][ \t]+)?")
# between two matches that belong together, or may: "选A，选C", two boxes, two answer lines
_CLOSED = r"(?:</[A-Za-z]{2,12}>|\\q?quad|\\[)\]},;:! ]|[\s$)\]}*])*+"
_JOINED = re.compile(
    rf"{_CLOSED}(?:\\text\{{ ?(?:and|和) ?|[、,;&+]|和|与|以及|及|(?:and|plus)\b)?"
    rf"{_CLOSED}[ \t$\\(\[{{*]*",
    re.IGNORECASE,
)
_GAP = re.compile(
    rf"{_CLOSED}(?:\\text\{{[^{{}}\n]{{0,20}}\}}|[。.、,;&+/|\s]|和|与|以及|及|或者?|还是|"
    rf"(?:and|plus|or)\b)*+{LEAD}[\s$\\(\[{{*]*",
    re.IGNORECASE,
)
# before a letter: others that are listed with it, "A、C是正确答案"
_LISTED_BEFORE = re.compile(
    r"(?:(?<![A-Za-z])[A-Z](?:\s?选?项)?[)\]\"'”*]*\s?(?:[、,;&+/|]|和|与|以及|及|或者?|(?:and|or)\b)\s?"
    r"(?:选项|选|(?:option|choice)\s)?[(\[\"'“*]*)+\Z"
)
# "The answer choices are A, B, C and D" tells the options, not the right ones
_ALL_OPTIONS = re.compile(
    r"(?i:(?<!correct )(?<!right )(?<!best )(?<!final )\banswer (?:choices|options)\b)"
)
_ONE_OF = re.compile(r"(?i:\b(?:between|either|neither|among|from)\b)|除|之间|当中|其中|中的")
_LIST_OF_LETTERS = re.compile(r"[A-Za-z](?:(?:[\s、,;&+/]|和|与|及|或|and|or)*[A-Za-z])*")


class _Naming(NamedTuple):
    """A match: where it begins, and the start and end of its group, which may be empty."""

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
        for found in (re.search(pattern, text) for pattern in (*patterns, _IN_JSON)):
            if found and not {ALONE, OPTION} & {*found.re.groupindex}:
                return True
    return False


def _last_set(answer: str, patterns: Sequence[str], options: _Options) -> Listed | None:
    """The set in the last match of a pattern, with the matches that are joined to it."""
    matches = [
        _Naming(match.start(), *match.span(1))
        for pattern in (*patterns, _IN_JSON)
        for match in re.finditer(pattern, answer)
        if match.start(1) >= 0 and _counts(answer, match, options)
    ]
    if not matches:
        return None
    naming = max(matches, key=lambda match: (match.start, match.end))
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
        other = _set_at(answer, before, options, whole=False)
        is_line_above = "\n" in gap
        if is_line_above and (other is None or not other.alone):
            return found
        if other is None:
            return None
        if other.labels != found.labels:
            # two lines that differ, or two lists; single letters that are joined are one list
            if is_line_above or len(other.labels) > 1 or not _JOINED.fullmatch(gap):
                return None
            found = found._replace(labels=ordered(other.labels + found.labels))
        found, naming = found._replace(start=other.start), before
    return None  # more joined matches than options: a repetition


def _counts(answer: str, match: re.Match[str], options: _Options) -> bool:
    if ALONE in match.re.groupindex:
        return _is_alone(answer, match, options)
    return counts(match, answer, options.texts)


def _is_alone(answer: str, match: re.Match[str], options: _Options) -> bool:
    """True if a group that must stand alone holds one option, or a list of several letters."""
    start, end = match.span(1)
    found = listed(answer[_after_bullet(answer, start) : end], *options)
    if found is None or len(found.labels) == 1:
        return stands_alone(answer, start, end, options.texts)
    if any(LETTER.search(text) for text in options.texts):  # its letters may not be labels
        return False
    return found.alone and not found.by_text and not answer[:start].rstrip().endswith(":")


def _set_at(
    answer: str, naming: _Naming, options: _Options, *, whole: bool = True
) -> Listed | None:
    """The set in a match's group. If it is read `whole`, it may begin before the group, and go on
    behind it, in its line and in the lines below.
    """
    line_end = answer.find("\n", naming.end)
    line_end = len(answer) if line_end < 0 else line_end
    behind = answer[naming.end : line_end]
    is_cut = answer[max(naming.end - 1, 0)].isalnum() and behind[:1].isalnum()
    end = line_end if whole and (is_cut or names_another(behind)) else naming.end
    start = _after_bullet(answer, naming.start)
    first = _first_listed(answer, start) if whole else start
    if first is None or first >= end:
        return None
    text = answer[first:end]
    found = listed(text, *options)
    if found is None:
        named = named_option(text, options.texts, alone=True)
        if named is None:
            return None
        found = Listed(named.label, named.start, named.end, alone=True, by_text=True)
    found = found._replace(start=first + found.start, end=first + found.end)
    if _ALL_OPTIONS.search(answer[naming.begin : found.start]):
        return None
    if not whole or (end < line_end and re.search(r"\w", behind)):
        return found
    is_below = "\n" in answer[naming.begin : naming.start]
    return _with_lines_below(answer, line_end, found, options, is_list=is_below)


def _first_listed(answer: str, start: int) -> int | None:
    """`start`, or where the list begins if letters stand before `start` in the same list; None if
    the words before them may refuse them.
    """
    line = answer[answer.rfind("\n", 0, start) + 1 : start]
    before = _LISTED_BEFORE.search(line)
    if before is None:
        return start
    clause = re.split(r"[。.!?;]", line[: before.start()])[-1]
    if refuses(clause) or _ONE_OF.search(clause):
        return None
    return start - len(line) + before.start()


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
        if thinks_again(text):
            return None
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
