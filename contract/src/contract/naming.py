"""Which option a short text names: "B", "(B)", "B. 乙", "乙", "我选B，因为A错", "$\\boxed{B}$".

In this order: the exact text of an option; its text once surrounding marks are taken off, a layer
at a time; a letter that stands alone, or that its own option's text or an explanation follows. What
names two options names none, and nothing is made of what an option is said not to be.
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
# So much behind the longest option's length twice: a reply that repeats a mark for ever is not read
# for ever.
_EXPLANATION = 1000
_END_TOKEN = re.compile(r"<\|[^|<>]*\|>|</s>")


class Named(NamedTuple):
    """An option's label, and where in the text it is named."""

    label: str
    start: int
    end: int


def named_option(text: str, options: Sequence[str], *, alone: bool = False) -> Named | None:
    """The option that `text` names; None where it is none of them or cannot be told.

    A capital letter is a label, though it may be another option's text as well. Of options with
    the same text the first is meant. `alone`: where nothing else stands in `text`.
    """
    text = text[: 2 * max(map(len, options), default=0) + _EXPLANATION]
    text = _END_TOKEN.sub(lambda token: " " * len(token[0]), text)
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
    """Places in `text` and the labels whose option has the text there, the strictest reading first.

    Never both without their brackets: (0,1) is not [0,1].
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
    """Whether `layer` is the letter, marks, and then the option's exact text, or the other way
    round: "B. 乙", "乙（B）", "乙（选项B）".
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
