"""What a reply says behind its answer in the same line: how sure it is, that the other options are
wrong, why, or the same answer as a letter. "C with 80% confidence", "C，A、B均错误", "乙，即B".

The answer in front of a remark is read only if the remark agrees with it, and names no other
option unless it calls that one wrong.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from contract.listing import refuses
from contract.marks import squeezed
from contract.naming import Named, named_option
from contract.options import LABELS, own_texts
from contract.plain import plain

# The name of a pattern's group that may hold a remark behind its answer.
STATED = "stated"
_LETTER = (
    r"(?:选项|(?:options?|choices?)\s)?[(（]?(?-i:[A-ZＡ-Ｚ])(?![A-Za-z'’])[)）]?"
    r"\s?(?:选?项|选)?"
)
# atomic: a space between two letters could be taken in three ways, and ten letters in 3 ** 9
_LETTERS = rf"(?>{_LETTER}(?:\s?(?:[、,，/&]|和|与|及|以及|,?\s?(?:and|or)\s)?\s?{_LETTER}){{0,9}})"
_MARKS = r"[\s*_,，;；.。:：(（—–\-]{0,6}"
_SURE = (
    r"(?:with|at)\s(?:an?\s)?[\w\s.%]{0,30}?(?:confidence|probability|certainty)|"
    r"[(（\[]?(?:about|around|~|≈|fairly|quite|very)?\s?\d{1,3}(?:\.\d+)?\s?%|"
    r"(?:fairly|quite|very|pretty|rather) (?:sure|certain|confident)|confidence\b|"
    r"(?:我?的?(?:置信度|把握|可信度|信心|自信)|(?:有|约)[^,，。]{0,8}把握)"
)
_OTHERS_WRONG = (
    rf"(?:(?:and|but|while|而|但|且|排除)\s?)?(?P<others>{_LETTERS})\s?(?:的说法|这[几两三]项|[两三]项)?\s?"
    r"(?:均|都|皆|全部?|也|则|可以?|应|被|是|为|与材料|(?:are|is|were|lie|can be|do|does)\s)*"
    r"(?:(?:all|both|each)\s)?(?:不|错|排除|有误|(?:wrong|incorrect|false|not|elsewhere|excluded|out|"
    r"ruled)\b)"
    rf"|(?:and )?not (?P<other>{_LETTER})"
)
_SAME = (
    r"(?:即|也就是|就是|因此|所以|故|对应|应?选|i\.?e\.?,?|namely|that is,?|"
    r"which is|which corresponds to|so)?"
    rf"\s?(?P<same>{_LETTER})(?=[\s)）.。!！,，]*+(?:\n|\Z))"
)
_WHY = r"(?P<why>(?:which|because|since)\b|因为|由于|[(（](?=[\w\s,.'’、，-]{2,80}[)）]))"
_REMARK = re.compile(
    rf"{_MARKS}(?:{_SURE}|{_OTHERS_WRONG}|[吧啊呀哦](?=[。.!！,，\s]|\Z)|{_SAME})|"
    rf"[\s*_]{{0,3}}[,，;；]?\s?{_WHY}",
    re.IGNORECASE,
)
_CLAUSE = re.compile(r"[^。.,;!?\n]+")
# not the article in "a plan", "A plan", but "and A with 40%"
_ANY_LETTER = re.compile(
    r"(?<![A-Za-z])[A-Z](?![A-Za-z'’])(?!(?<=[AI]) [a-z])|(?<=\band )[A-Z]\b|(?<=\bor )[A-Z]\b"
)


def named_before_remark(text: str, options: Sequence[str]) -> Named | None:
    """The option that stands in `text` before a remark that agrees with it; None if there is no
    such remark, or if it does not agree.
    """
    remark = _REMARK.search(text, 1)
    if remark is None:
        return None
    named = named_option(text[: remark.start()], options)
    if named is None or not _agrees(remark, text, named, options):
        return None
    return named


def _agrees(remark: re.Match[str], text: str, named: Named, options: Sequence[str]) -> bool:
    labels = {*LABELS[: len(options)]}
    wrong = _letters(remark["others"] or remark["other"] or "")
    if named.label in wrong or _letters(remark["same"] or named.label) != {named.label}:
        return False
    rest = plain(text[remark.end() :])
    if remark["why"] and refuses(_first_clause(rest)):
        return False
    for clause in _CLAUSE.findall(rest):
        mentioned = _letters(clause) & labels - {named.label}
        if mentioned and not refuses(clause):
            return False
    return not _begins_another(text[named.start : named.end], named.label, options)


def _letters(text: str) -> set[str]:
    return {*_ANY_LETTER.findall(plain(text))}


def _first_clause(text: str) -> str:
    clause = _CLAUSE.match(text)
    return clause[0] if clause else ""


def _begins_another(said: str, label: str, options: Sequence[str]) -> bool:
    """True if `said` is the beginning of another option's text, so that more of it may follow."""
    texts = zip(LABELS, own_texts(options), strict=False)
    others = (squeezed(text) for other, text in texts if other != label)
    return len(said) > 1 and any(other.startswith(squeezed(said)) for other in others)
