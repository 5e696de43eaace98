"""Label extraction: which of a question's options a reply settles on, or none.

A reply that cannot be read gives None; nothing is guessed. Patterns come from the contract. Each
has one group, the text that should name an option; of all matches of all patterns the last in the
reply counts, because a worked solution may mention options on its way to its answer. Reasoning
between tags is not read at all.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from contract.reasoning import split_reasoning

LABELS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

_WRAPPING = " \t*_`\"'“”‘’()[]{}<>【】「」《》〈〉〔〕$"
_OPENING = r"(?:\\boxed|\\text|[\s*_`\"'“‘$(\[{【「《〈〔])*"
_LETTER = re.compile(rf"(?:选项|option\s)?{_OPENING}([A-Za-z])(?![A-Za-z0-9])", re.IGNORECASE)
_SECOND_LETTER = re.compile(
    r"[\s)\]】」》〉〕*]*"
    r"(?:(?:[、,;/&+和与或及]|或者|以及|and\b|or\b)\s*(?:选项)?"
    rf"{_OPENING}([A-Za-z])(?![A-Za-z0-9])|\s([A-Za-z])\W*$)"
)
_CLOSING = ".。!！,，;；"
# A character with what combines with it: what normalization may join is never cut apart.
_PIECE = re.compile(r"(?s).[\u0300-\u036f\u1160-\u11ff\u20d0-\u20ff\u3099\u309a\ufe20-\ufe2f]*")


def extract_label(reply: str, options: Sequence[str], patterns: Sequence[str]) -> str | None:
    """The label of the option that `reply` settles on; None where it names no option, an unknown
    one or several.

    The named text may be a letter (any case, full-width, in brackets or bold, with or without the
    option's text behind it) or the text of exactly one option. Where several options share the
    text, the first of them is meant.
    """
    _, answer = split_reasoning(reply)
    match = None if answer is None else _last_match(_plain(answer), patterns)
    return None if match is None else _label_of(match.group(1), options)


def label_place(reply: str, patterns: Sequence[str]) -> tuple[int, int] | None:
    """Start and end, in characters of `reply`, of the text that `extract_label` reads.

    Of a letter it is the letter, else all of the named text. None where no pattern matches.
    """
    _, answer = split_reasoning(reply)
    if answer is None:
        return None
    pieces = _PIECE.findall(answer)
    plain, origins, start = "", [], len(reply) - len(answer)
    for piece in pieces:
        normal = unicodedata.normalize("NFKC", piece)
        plain += normal
        origins += [(start, start + len(piece))] * len(normal)
        start += len(piece)
    while (bold := plain.find("**")) >= 0:
        plain = plain[:bold] + plain[bold + 2 :]
        del origins[bold : bold + 2]
    match = _last_match(plain, patterns)
    if match is None or not match.group(1).strip():
        return None
    letter = _LETTER.match(match.group(1))
    first, last = match.span(1) if letter is None else letter.span(1)
    if letter is not None:
        first, last = match.start(1) + first, match.start(1) + last
    return origins[first][0], origins[last - 1][1]


def _last_match(plain: str, patterns: Sequence[str]) -> re.Match[str] | None:
    matches = [match for pattern in patterns for match in re.finditer(pattern, plain)]
    return max(matches, key=lambda match: match.start(1), default=None)


def _label_of(named: str, options: Sequence[str]) -> str | None:
    bare = _bare(named)
    for label, option in zip(LABELS, options, strict=False):
        if bare and bare == _bare(option):
            return (
                label
                if len(bare) > 1 or bare.upper() not in LABELS[: len(options)]
                else bare.upper()
            )
    letter = _LETTER.match(named)
    if letter is None:
        return None
    label = letter.group(1).upper()
    if label not in LABELS[: len(options)]:
        return None
    second = _SECOND_LETTER.match(named, letter.end())
    other = (second.group(1) or second.group(2)).upper() if second else label
    return label if other == label or other not in LABELS[: len(options)] else None


def _bare(text: str) -> str:
    """Plain text without the marks that people put around an answer."""
    return _plain(text).strip().strip(_WRAPPING).rstrip(_CLOSING).strip(_WRAPPING)


def _plain(text: str) -> str:
    """`text` in NFKC, without Markdown's bold."""
    return unicodedata.normalize("NFKC", text).replace("**", "")
