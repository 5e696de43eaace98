"""A list of options at the beginning of a text: "A、C", "AC", "both A and C", "A. 甲；C. 丙".

A letter may stand with its own option's text, or the text alone. What follows the list must not
take it back, and must not name further options, unless it calls them wrong. "A、C，可能还有D",
"A或C" and "A、C都不对" are no clear lists.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from contract.lettering import LEAD, behind, sought_in
from contract.permuting import LETTER

_OPENING = re.compile(r"(?:\\[a-z]+(?=\{)|\\[({\[]|[\s\"'“‘`$(\[{<【「『《〈〔*_])*+")
_CLOSING = re.compile(r"(?:[ \t]*(?:\\[)}\]]|[\"'”’`$)\]}>】」』》〉〕*_]|选项|项(?!目)))*+")
_PLURAL = r"(?:(?:\b(?:both|all of|are|options|choices|answers)\b|包括|有)[\s:]*+)*+"
_LEAD = re.compile(rf"{_PLURAL}{LEAD}{_PLURAL}", re.IGNORECASE)
_BEFORE_LETTER = re.compile(r"(?:(?:选项|(?:options?|choices?)\b|选)[\s:]*)?", re.IGNORECASE)
_RUN = re.compile(r"(?<![A-Za-z0-9])(?:[A-Z]+|[a-z])(?![-'’]?[A-Za-z0-9])")
_TO_OWN_TEXT = re.compile(r"[\s.:,;、=(\[{<【「『《〈〔“‘\"'\-—–]*")
_SAME_LETTER = re.compile(r"\s*[(\[]\s*(?:选项|[Oo]ption\s)?([A-Za-z])\s*[)\]]")
_AND = re.compile(
    r"\\?[ \t]*(?:[、,;&+]|\\text\{ ?(?:and|和) ?\})?[ \t]*"
    r"(?:and\b|plus\b|as well as\b|和|与|以及|及|还有)?[ \t]*",
    re.IGNORECASE,
)
# another letter after a joint of any meaning: "或D", "/D", "到D", and "、E" of four options
_ANOTHER = re.compile(
    r"\s*(?:[、,;&+/|~\-–—]|和|与|以及|及|或者?|还是|还有|至|到|(?:and|or|plus|to|through)\b|\s)\s*"
    rf"{_OPENING.pattern}(?:选项|选|(?:option|choice)\b)?\s*"
    r"[A-Z](?![A-Za-z0-9'’])(?!(?<=[AI]) [a-z])",
    re.IGNORECASE,
)
_NUMBER = "一二两三四五六七八九十"
_SAID_OF_ALL = re.compile(
    rf"[{_NUMBER}\d]?[个项者]?(?:选项|答案)?(?:的?说法)?[都均皆全]?(?:是|为)?"
    r"(?:正确|对|成立|可以|符合(?:题意|要求|条件)?)?的?(?:选项|答案)?"
    r"|(?:are|is)?(?: ?(?:both|all|the))?(?: ?(?:correct|right|true))?"
    r"(?: ?(?:options?|answers?|choices?))?"
    r"|only|alone",
    re.IGNORECASE,
)
_EXPLAINED = re.compile(
    r"(?:因为|由于|而不?[是非选]|不选(?=\W+\w)|because|since|rather than|"
    r"instead of|but not)\b.*",
    re.IGNORECASE,
)
_HEAD = re.compile(r"[^。.,;!?…()\[\]【\n:—]*")
_CLAUSE = re.compile(r"[^。.,;!?…()\[\]【\n:—]+")
_CUT = re.compile(r"[\s,、;&+]*(?:[、;&+,]|和|与|以及|及|还有|(?:and|plus|or)\b)\s*")
_ONE_OF_THEM = re.compile(r"(?i:\b(?:choose|pick|select|one of|any of)\b)|之一|任选|其一|选一")
_SECOND_THOUGHT = re.compile(
    r"\W*(?:或者?|还有|也可能|等等|等一下|不对|重新|更正|"
    r"(?:or|wait|hold on|actually|maybe|perhaps|correction|no)\b)",
    re.IGNORECASE,
)
# what stands behind a list and calls further letters wrong: ", D不选", " and D is wrong",
# " (B and D are wrong)"
_REFUSED = re.compile(
    r"\s*(?:[,;]\s*(?:(?:and|but|while|whereas)\b|但|而)?|(?:and|but)\b)\s*"
    r"(?:选项|(?:option|choice) )?[(\[]?[A-Z][)\]]?(?:\s?[、和与及]\s?[A-Z]){0,5}\s*(?:选?项)?\s*"
    r"(?:(?:是|则|为)?(?:不[选对行正成符]|不是|(?:错|有误|除外|排除)(?!不))|"
    r"(?:is|was) (?:not (?:correct|right|true)|wrong|incorrect|false|excluded)\b)|"
    r"\s*\([^()\n]{0,40}(?:(?<!not )\b(?:wrong|incorrect|false|excluded)|not correct|除外|排除|"
    r"(?<![不没])错误?|不[对选])[^()\n]{0,10}\)",
    re.IGNORECASE,
)
_NOT = re.compile(
    r"除外|不(?!过|仅|但|只|错)|(?<![不没])错|非(?!常)|没(?!错)|无(?!疑)|未|假|排除|存疑|\b(?:not|wrong|incorrect|false|never|no|neither|nor|exclude[sd]?|doubtful|"
    r"isn['’]t|aren['’]t|instead of|rather than|contradicts?)\b",
    re.IGNORECASE,
)
_DOUBT = re.compile(
    r"\W*(?:(?:but|hmm+|oh|um+|ah|但是?|不过|哦|呃|嗯)\W*)*(?:不对|不正确|不成立|错|等等|等一下|重新|更正|或|[也还]?可能|也许|不[能够]?确定|还有|"
    r"应[该当]?[是为选]|改[为选]|(?:wait|hold on|actually|not sure|no|or|maybe|perhaps|possibly|"
    r"correction|wrong|incorrect)\b)",
    re.IGNORECASE,
)


class Listed(NamedTuple):
    """A clear list: its labels in order, and where it starts and ends. `alone`: nothing follows it,
    or only that it is right. `by_text`: an option's text stands in it.
    """

    labels: str
    start: int
    end: int
    alone: bool
    by_text: bool


class _Item(NamedTuple):
    """Labels that stand together. `end` is behind the letter or text, `after` behind its marks."""

    labels: str
    start: int
    end: int
    after: int
    by_text: bool


class _ContradictionError(Exception):
    """A letter stands with another option's text."""


def listed(text: str, labels: str, texts: Sequence[str]) -> Listed | None:
    """The list with which `text`, in plain spelling, begins; None if there is no clear one. `texts`
    are the options' own texts.
    """
    try:
        items = list(_items(text, labels, texts))
    except _ContradictionError:
        return None
    if not items:
        return None
    chosen, last = ordered("".join(item.labels for item in items)), items[-1]
    tail = text[last.after :]
    if not _is_clear(tail, chosen, labels):
        return None
    said = _head(tail)
    is_all = _SAID_OF_ALL.fullmatch(said.strip()) and not re.search(r"\w", tail[len(said) :])
    by_text = any(item.by_text for item in items)
    return Listed(chosen, items[0].start, last.end, alone=bool(is_all), by_text=by_text)


def begins_with(text: str, labels: str, texts: Sequence[str]) -> str:
    """The labels that the first item of `text` names; "" if it is none."""
    try:
        item = next(_items(text, labels, texts), None)
    except _ContradictionError:
        return ""
    return item.labels if item else ""


def ordered(labels: str) -> str:
    return "".join(sorted({*labels}))


def names_another(text: str) -> bool:
    """True if `text`, which follows a letter, goes on with another letter."""
    return _ANOTHER.match(text, _after(_CLOSING, text, 0)) is not None


def refuses(text: str) -> bool:
    """True if `text` says that something is not so."""
    return _NOT.search(text) is not None


def thinks_again(text: str) -> bool:
    """True if `text`, a line below a list, begins as if the list were not the last word."""
    return _SECOND_THOUGHT.match(text) is not None


def _items(text: str, labels: str, texts: Sequence[str]) -> Iterator[_Item]:
    at = _after(_OPENING, text, 0)
    item = _item(text, at, labels, texts) or _item(text, _after(_LEAD, text, at), labels, texts)
    while item is not None:
        yield item
        if _REFUSED.match(text, item.after):
            return
        at = _after(_AND, text, item.after)
        item = _item(text, at, labels, texts) if at > item.after else None


def _item(text: str, at: int, labels: str, texts: Sequence[str]) -> _Item | None:
    """The item at `at`. A letter and a text may both begin there: then the longer one is meant."""
    at = _after(_OPENING, text, at)
    lettered, named = _letters(text, at, labels, texts), _named(text, at, labels, texts)
    if lettered is None or (named is not None and named.end > lettered.end):
        return named
    return lettered


def _letters(text: str, at: int, labels: str, texts: Sequence[str]) -> _Item | None:
    start = _after(_OPENING, text, _after(_BEFORE_LETTER, text, at))
    run = _RUN.match(text, start)
    if run is None:
        return None
    chosen, end = run[0].upper(), run.end()
    if not {*chosen} <= {*labels} or len({*chosen}) < len(chosen):
        return None
    begin = _after(_TO_OWN_TEXT, text, _after(_CLOSING, text, end))
    own, others = 0, 0
    for label, option in zip(labels, texts, strict=True) if len(chosen) == 1 else ():
        sought = sought_in(option)
        longest = max(behind(text, place, sought) or 0 for place in range(end, begin + 1))
        if label == chosen:
            own = longest
        else:
            others = max(others, longest)
    if others > own:
        raise _ContradictionError
    end = max(end, own)
    return _Item(chosen, start, end, _after(_CLOSING, text, end), by_text=own > 0)


def _named(text: str, at: int, labels: str, texts: Sequence[str]) -> _Item | None:
    """The item whose option's text is at `at`: "甲", "甲（A）". The longest text counts."""
    label, end = "", at
    for owner, option in zip(labels, texts, strict=True):
        found = behind(text, at, sought_in(option))
        if found is not None and found > end:
            label, end = owner, found
    if not label:
        return None
    after = _after(_CLOSING, text, end)
    if letter := _SAME_LETTER.match(text, after):
        if letter[1].upper() in labels and letter[1].upper() != label:
            raise _ContradictionError
        after = _after(_CLOSING, text, letter.end())
    return _Item(label, at, end, after, by_text=True)


def _is_clear(tail: str, chosen: str, labels: str) -> bool:
    """True if `tail`, which follows the list, leaves it as it is."""
    if (
        (_ANOTHER.match(tail) and not _REFUSED.match(tail))
        or _CUT.fullmatch(tail)
        or tail.lstrip()[:1] == "?"
    ):
        return False
    if _ONE_OF_THEM.search(tail):
        return False
    said = _head(tail).strip()
    if not (_SAID_OF_ALL.fullmatch(said) or _EXPLAINED.fullmatch(said)):
        return False
    for clause in _CLAUSE.findall(tail):
        mentioned = {letter.upper() for letter in LETTER.findall(clause)} & {*labels}
        for run in _RUN.findall(clause):
            mentioned |= {*run} if {*run} <= {*labels} else set()
        if not mentioned and _DOUBT.match(clause):
            return False
        inside = mentioned & {*chosen}
        if mentioned and (inside == mentioned) == refuses(clause):
            return False  # a listed option is refused, or another one is not
        if inside and inside != mentioned:
            return False
    return True


def _head(tail: str) -> str:
    """What follows the list directly, up to a mark that ends a clause."""
    head = _HEAD.match(tail)
    return head[0] if head else ""


def _after(pattern: re.Pattern[str], text: str, start: int) -> int:
    match = pattern.match(text, start)
    return match.end() if match else start
