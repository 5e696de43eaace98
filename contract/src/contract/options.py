"""A question's options: their labels, and the letters or numbers that some files put into them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache

LABELS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

_BRACKETED = re.compile(r"\s*[(（\[［【]\s*(.)\s*[)）\]］】]\s*[.．、,，:：]?\s*(\S.*)", re.DOTALL)
# "A.D." and "A、B" are option texts, not a letter followed by a text
_SEVERAL = r"[A-Za-zＡ-Ｚａ-ｚ](?:[.．、,，:：]|\Z)"
_SEPARATED = re.compile(rf"\s*(.)\s*[.．、:：)）](?:\s+|(?!{_SEVERAL}))(\S.*)", re.DOTALL)
_LETTERED = (_BRACKETED, _SEPARATED)
# "1.5", "1:30", "1、2", "(1)(2)" and "①②" are option texts, not a number followed by a text
_NOT_A_NUMBER = r"(?!\s*[(（\[［【]?\s*[0-9０-９①-⑳])"
_NUMBERED = tuple(
    re.compile(rf"\s*{number}\s*(\S.*)", re.DOTALL)
    for number in (
        rf"[(（\[［【]\s*(\d{{1,2}})\s*[)）\]］】][.．、,，:：]?{_NOT_A_NUMBER}",
        rf"([①-⑳])[.．、,，:：]?{_NOT_A_NUMBER}",
        rf"(\d{{1,2}})\s*[、)）]{_NOT_A_NUMBER}",
        r"(\d{1,2})\s*[.．:：]\s",
    )
)


def own_texts(options: Sequence[str]) -> tuple[str, ...]:
    """The options without the letters or numbers that their texts begin with: "A. x", "(A)x",
    "A、x", "1. x", "(1)x", "①x".

    They are removed only if every option begins with its own; else the options stay unchanged.
    """
    return _own_texts(tuple(options))


@lru_cache(maxsize=4096)  # asked for each reply to the question
def _own_texts(options: tuple[str, ...]) -> tuple[str, ...]:
    for patterns, marks in (
        (_LETTERED, LABELS),
        (_NUMBERED, [str(number) for number in range(1, len(LABELS) + 1)]),
    ):
        texts = [
            _behind(mark, option, patterns) for mark, option in zip(marks, options, strict=False)
        ]
        carried = [text for text in texts if text is not None]
        if len(carried) == len(options) > 1:
            return tuple(carried)
    return options


def letters_out_of_order(options: Sequence[str]) -> str | None:
    """The letters that the options begin with, "BAC" for "B. x", "A. y", "C. z"; None if they are
    in order or are not those of as many options.
    """
    letters = "".join(_letter_before(option) for option in options)
    labels = LABELS[: len(options)]
    return letters if letters != labels and sorted(letters) == [*labels] else None


def _letter_before(option: str) -> str:
    for pattern in _LETTERED:
        if match := pattern.fullmatch(option):
            return unicodedata.normalize("NFKC", match[1]).upper()
    return ""


def _behind(mark: str, option: str, patterns: Sequence[re.Pattern[str]]) -> str | None:
    """The text after `mark` if `option` begins with it; else None."""
    for pattern in patterns:
        if match := pattern.fullmatch(option):
            found = unicodedata.normalize("NFKC", match[1]).upper()
            return match[2] if found == mark else None
    return None
