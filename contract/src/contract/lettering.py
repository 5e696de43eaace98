"""A letter that names an option: "选B", "(B) 乙", "B is correct", "B，因为A错".

A letter that belongs to a word, a unit or a name does not count ("A detailed plan", "I think",
"维生素C", "B型"). So only words of choosing may come before the letter, and only a mark, its own
option's text or an explanation may come after it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from contract.marks import squeezed
from contract.plain import plain


class Letter(NamedTuple):
    """A label and the position of its letter."""

    label: str
    at: int


_ENGLISH = (
    r"i(?: would|[’']d)? (?:think|believe|choose|chose|pick|select|say|guess|go with)|"
    r"choose|pick|select|the|my|our|correct|right|best|final|most likely|answer|options?|choice|"
    r"letter|it[’']s|it|that|this|is|must be|should be|would be|will be|so|thus|therefore|hence|"
    r"clearly|likely|probably"
)
_CHINESE = (
    r"我们|我|本题|此题|该题|这道题|认为|觉得|应该|应当|应|该|可以|只能|选择|选项|选|答案|正确|最佳|"
    r"结论|的|是|为|即|就|故|所以|因此|因而|显然|综上|一定|肯定|最终|最后"
)
# Possessive quantifiers: a reply that repeats such words is read in linear time.
LEAD = rf"(?:(?:\b(?:{_ENGLISH})\b|{_CHINESE})[\s,:]*+)*+"
_PRAISE = "✅✓✔☑👉👈👍🎯➡\ufe0f"
_OPENING = (
    r"(?:\\[a-z]+(?=\{)|\\[(\[]|(?-i:<[a-z]{2,12}[^<>\n]{0,40}>)|"
    rf"[\s*_`\"'“‘$(\[{{<>【「『《〈〔{_PRAISE}])*+"
)
_NAMING = re.compile(
    rf"{_OPENING}{LEAD}{_OPENING}(?<![A-Za-z0-9])([A-Za-z])(?![-'’]?[A-Za-z0-9])", re.IGNORECASE
)
_CLOSING = re.compile(
    rf"(?:\\[)\]]|[\s\"'”’`*_$)\]}}>】」』》〉〕{_PRAISE}]|选项|项(?!目)|(?:option|choice)\b)*+",
    re.IGNORECASE,
)
_SEPARATOR = re.compile(r"[\s\\.:,;!?、=/|(\[{<【「『《〈〔“‘\"'$\-—–…。>]*+")
_NOT = r"(?:不|错|非|没|无|未|假|(?:not|wrong|incorrect|false|never)\b)"
_EXPLAINED = re.compile(
    rf"(?:is|was)\b(?!\s*{_NOT})|(?:because|since|due to|rather than)\b|[是为](?!{_NOT})|正确|"
    r"对(?!应|于)|成立|符合|最|更|必然|一定|因|由于|而[不非]|即|"
    r"作为(?:正确|本题|我|最)\w{0,4}?(?:答案|选择|选项|猜测)",
    re.IGNORECASE,
)
# the reply calls the letter wrong or takes it back, in a separate clause: "A（错），B（对）",
# "A。不对，应是B"
_WRONG = re.compile(
    r"\W*(?:is|was|是|也|都|\s)*"
    r"(?:(?:不对?|不正确|不成立|不符合?|错误?的?|等等|等一下|"
    r"not (?:correct|right|true)|wrong|incorrect|false|wait|hold on|no(?=[,.]))(?!\w)|"
    r"(?<=[❌✗✘✖]))",
    re.IGNORECASE,
)
_EQUATED = re.compile(r"\s*[=<>]\s*-?\d")
_SHARE = re.compile(r"\d+(?:\.\d+)?\s*%?")
_JOINT = re.compile(
    r"[\s,]*(?:(?:[、/&+;|]|和|与|或者|或|及|跟|以及|还是|"
    r"也(?:许|可能|可以|是)+|或许是?|可能是?|应该?[是为选]|改[为选]|而是|"
    r"(?:and|or|maybe|perhaps|possibly)\b)\s*){0,3}",
    re.IGNORECASE,
)
# another letter, unless it is a word ("a", "I think") or the reply calls it wrong
_SECOND = re.compile(
    rf"(?:选项|[Oo]ption\s)?{_OPENING}(?<![A-Za-z0-9])([A-Z](?![A-Za-z0-9])|[a-z](?=\W*$))"
    rf"(?!(?<=[AI])\s+(?!(?:and|or|are|is|both)\b)[a-z])(?!\W*(?:项|选项|is|are|was|都|是|\s)*{_NOT})"
)


def lettered(text: str, labels: str, options: Mapping[str, Sequence[str]]) -> Letter | None:
    """The letter that names an option in `text`, which must be in plain spelling. None if there is
    no such letter, if the text also names another option, or if it calls the letter wrong.

    `options` maps each label to its option's texts.
    """
    naming = _NAMING.match(text)
    if naming is None or (label := naming[1].upper()) not in labels:
        return None
    texts = {label: [*map(sought_in, spellings)] for label, spellings in options.items()}
    begin = _passed(_SEPARATOR, text, _passed(_CLOSING, text, naming.end()))
    own, other = _leading(text, range(naming.end(), begin + 1), label, texts)
    if own is not None:
        settled, begin = True, own
    else:
        separated = re.search(r"[^\w\s]", text[naming.end() : begin]) is not None
        explained = _EXPLAINED.match(text, begin) is not None
        settled = not other and (separated or explained or begin == len(text))
    settled = settled and (own is not None or not _EQUATED.match(text, naming.end()))
    refused = _WRONG.match(text, begin) or _another(text, begin, label, texts)
    return Letter(label, naming.start(1)) if settled and not refused else None


def _leading(
    text: str, starts: Sequence[int], label: str, texts: Mapping[str, Sequence[str]]
) -> tuple[int | None, bool]:
    """The index after the text of `label`, if that text is at one of `starts`; and True if another
    option's text is there instead. The longest text counts.
    """
    own, longest_own, longest_other = None, 0, 0
    for start in starts:
        for owner, spellings in texts.items():
            for sought in spellings:
                end = behind(text, start, sought)
                if end is None:
                    continue
                if owner == label and len(sought) > longest_own:
                    own, longest_own = end, len(sought)
                elif owner != label and not text[end : end + 1].isalnum():
                    longest_other = max(longest_other, len(sought))
    return (own, False) if longest_own >= longest_other else (None, True)


def _another(text: str, start: int, label: str, texts: Mapping[str, Sequence[str]]) -> bool:
    """True if another option's letter is at `start`, or its letter or text follows after an "and"
    or a share: "A (60%), B (40%)".
    """
    start = _passed(_CLOSING, text, _passed(_SHARE, text, start))
    behind = _passed(_JOINT, text, start)
    second = _SECOND.match(text, behind)
    if second is not None and second[1].upper() in texts and second[1].upper() != label:
        return True
    return text[start:behind].strip() != "" and _leading(text, [behind], label, texts)[1]


def _passed(pattern: re.Pattern[str], text: str, start: int) -> int:
    match = pattern.match(text, start)
    return match.end() if match else start


def sought_in(text: str) -> str:
    """An option's text in the form to search for: without spaces, case and closing punctuation."""
    whole = squeezed(plain(text))
    return whole.rstrip(".。!,;") or whole


def behind(text: str, start: int, sought: str) -> int | None:
    """The index after `sought` if `text` has it at `start`, ignoring spaces; else None."""
    at, matched = start, 0
    while matched < len(sought):
        if at == len(text):
            return None
        if not text[at].isspace():
            piece = text[at].casefold()
            if not sought.startswith(piece, matched):
                return None
            matched += len(piece)
        at += 1
    # "1" does not match the start of "12"
    cut = _is_latin(sought[-1:]) and _is_latin(text[at : at + 1])
    return None if cut or not sought else at


def _is_latin(character: str) -> bool:
    return character.isascii() and character.isalnum()
