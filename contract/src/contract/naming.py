"""Finds the option that a short text names: "B", "(B)", "B. 乙", "乙", "我选B，因为A错",
"$\\boxed{B}$".

Checked in this order: the exact text of an option; its text after surrounding marks are removed,
layer by layer; a letter alone, or a letter followed by its own option's text or an explanation. A
text that names two options counts as naming none. A statement that an option is wrong names no
option.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from contract.lettering import lettered
from contract.marks import bare, layers, normal, squeezed, stripped, unmarked
from contract.options import LABELS, own_texts
from contract.plain import origins, plain

_BETWEEN = " \t.．、,，:：)）"
_BEHIND = _BETWEEN + "(（选项"
# Characters to read beyond twice the longest option's length. Bounds the work on a reply that
# repeats a mark.
_EXPLANATION = 1000
END_TOKEN = re.compile(r"<\|[^|<>]*\|>|</s>")


class Named(NamedTuple):
    """An option's label, and the start and end of the text that names it."""

    label: str
    start: int
    end: int


def named_option(text: str, options: Sequence[str], *, alone: bool = False) -> Named | None:
    """The option that `text` names; None if it names no option or is ambiguous.

    A capital letter is a label, even if it is also another option's text. If several options have
    the same text, the first is meant. `alone`: only if `text` holds nothing else.
    """
    text = text[: 2 * max(map(len, options), default=0) + _EXPLANATION]
    text = END_TOKEN.sub(lambda token: " " * len(token[0]), text)
    labels, texts = LABELS[: len(options)], own_texts(options)
    for place, owners in _readings(text, labels, options, texts):
        if owners:
            same = len({texts[labels.index(owner)] for owner in owners}) == 1
            return Named(owners[0], *place) if same else None
    if alone:
        return None
    both = {
        label: (option, text) for label, option, text in zip(labels, options, texts, strict=True)
    }
    letter = lettered(plain(text), labels, both)
    if letter is None:
        return None
    return Named(letter.label, *origins(text)[letter.at])


def _readings(
    text: str, labels: str, options: Sequence[str], texts: Sequence[str]
) -> Iterator[tuple[tuple[int, int], list[str]]]:
    """Yield places in `text`, each with the labels of the options that match there, strictest
    first.

    Brackets are never removed from both sides of a comparison: (0,1) is not [0,1].
    """
    spellings = [*zip(labels, options, strict=True), *zip(labels, texts, strict=True)]

    def owners(key: Callable[[str], str], sought: str) -> list[str]:
        found = [label for label, spelling in spellings if sought and key(spelling) == sought]
        return list(dict.fromkeys(found))

    everything = (0, len(text))
    yield everything, [text.strip()] if text.strip() in [*labels] else []
    yield everything, owners(str, text)
    for start, layer in layers(text):
        place = (start, start + len(layer))
        yield place, [layer] if layer in [*labels] else []
        yield place, owners(stripped, layer)
        yield place, [label for label, text in spellings if _is_both(layer, label, text.strip())]
        letter = normal(layer).upper()
        yield place, [letter] if letter in [*labels] else []
        yield place, owners(normal, normal(layer))
        yield place, owners(squeezed, squeezed(layer))
    yield everything, owners(unmarked, unmarked(text))
    yield everything, owners(bare, unmarked(text))


def _is_both(layer: str, label: str, text: str) -> bool:
    """True if `layer` is the letter, marks, and then the option's exact text, or the reverse.
    Examples: "B. 乙", "乙（B）", "乙（选项B）".
    """
    if not text:
        return False
    between = layer.removeprefix(label).removesuffix(text)
    if f"{label}{between}{text}" == layer:
        return not between.strip(_BETWEEN)
    closed = layer.rstrip(")）")
    between = closed.removeprefix(text).removesuffix(label)
    return (
        f"{text}{between}{label}" == closed
        and between.lstrip(" ")[:1] in [*"(（"]
        and not between.strip(_BEHIND)
    )
