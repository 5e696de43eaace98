"""A question's options: their labels, and the letters that some files put into the option texts."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

LABELS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

_BRACKETED = re.compile(r"\s*[(（\[［【]\s*(.)\s*[)）\]］】]\s*[.．、,，:：]?\s*(\S.*)", re.DOTALL)
# "A.D." and "A、B" are option texts, not a letter followed by a text
_SEVERAL = r"[A-Za-zＡ-Ｚａ-ｚ](?:[.．、,，:：]|\Z)"
_SEPARATED = re.compile(rf"\s*(.)\s*[.．、:：)）](?:\s+|(?!{_SEVERAL}))(\S.*)", re.DOTALL)


def own_texts(options: Sequence[str]) -> tuple[str, ...]:
    """The options without the letters that their texts begin with: "A. x", "(A)x", "A、x".

    Letters are removed only if every option begins with its own; else the options stay unchanged.
    """
    texts = [_behind_letter(option, label) for label, option in zip(LABELS, options, strict=False)]
    carried = [text for text in texts if text is not None]
    return tuple(carried) if len(carried) == len(options) > 1 else tuple(options)


def _behind_letter(option: str, label: str) -> str | None:
    """The text after `label` if `option` begins with it; else None."""
    match = _BRACKETED.fullmatch(option) or _SEPARATED.fullmatch(option)
    if match is None or unicodedata.normalize("NFKC", match[1]).upper() != label:
        return None
    return match[2]
