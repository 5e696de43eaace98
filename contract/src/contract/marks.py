"""Removes marks around a text, and normalizes texts so that they can be compared."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

_QUOTES = {'"': '"', "'": "'", "“": "”", "‘": "’", "`": "`", "$": "$", "*": "*", "_": "_"}
_QUOTES |= {"《": "》", "〈": "〉", "「": "」", "『": "』", "【": "】", "〔": "〕"}
_BRACKETS = {"(": ")", "[": "]", "{": "}", "<": ">", "（": "）", "［": "］", "｛": "｝", "＜": "＞"}
_LATEX = re.compile(
    r"\\(?:boxed|text|textbf|textit|mathrm|mathbf|mathsf|mathit|bm)\s*\{(?P<command>.*)\}"
    r"|\\\((?P<inline>.*)\\\)|\\\[(?P<block>.*)\\\]",
    re.DOTALL,
)
_STRAY = re.compile(r"[*_`]*(.*?)[*_`.。．!！,，;；]*", re.DOTALL)


def layers(text: str, *, brackets: bool = True) -> Iterator[tuple[int, str]]:
    """Yield `text` and then what is left after each layer of marks is removed, with its start in
    `text`.

    Closing punctuation is a layer too, and so are asterisks of bold text that began before `text`.
    """
    start = 0
    while True:
        start += len(text) - len(text.lstrip())
        text = text.strip()
        if not text:
            return
        yield start, text
        offset, inner = _inside(text, _QUOTES | _BRACKETS if brackets else _QUOTES)
        if inner == text:
            return
        start, text = start + offset, inner


def _inside(text: str, pairs: dict[str, str]) -> tuple[int, str]:
    if latex := _LATEX.fullmatch(text):
        kind = latex.lastgroup or 0
        return latex.start(kind), latex[kind]
    if len(text) > 1 and pairs.get(text[0]) == text[-1]:
        return 1, text[1:-1]
    stray = _STRAY.fullmatch(text)
    return (stray.start(1), stray[1]) if stray else (0, text)


def stripped(text: str) -> str:
    return text.strip()


def normal(text: str) -> str:
    return unicodedata.normalize("NFKC", text).strip()


def squeezed(text: str) -> str:
    """The text without spaces and case."""
    return "".join(normal(text).casefold().split())


def unmarked(text: str) -> str:
    """The squeezed text without quotes. Brackets stay, because [0,1) is not (0,1)."""
    return squeezed(_innermost(text, brackets=False))


def bare(text: str) -> str:
    """The squeezed text without quotes and brackets."""
    return squeezed(_innermost(text, brackets=True))


def _innermost(text: str, *, brackets: bool) -> str:
    return [(0, ""), *layers(text, brackets=brackets)][-1][1]
