"""Decides if a line is an answer although no word says so: it holds an option and nothing else.

Such a line may also be an entry of a list, the place where a reply was cut, or an option that was
repeated from the question. Then it is no answer. In doubt it is none.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache

from contract.marks import bare, squeezed
from contract.naming import END_TOKEN, named_option
from contract.options import LABELS, own_texts
from contract.permuting import LETTER
from contract.plain import plain

# The name of a pattern's group that must hold an option and nothing else, and of one that must hold
# an option's text, inside a sentence.
ALONE = "alone"
OPTION = "option"
_MOST_MARKS = 60
_PRAISE = " ✅✓✔☑👉👈🎯➡\ufe0f"
_AROUND = r"[\s*_`\"'“”‘’$()\[\]{}<>【】《》「」#.。,:!|✅✓✔☑👉🎯\ufe0f]*+"
_LETTER = re.compile(
    rf"{_AROUND}(?:(?:(?:the )?(?:correct )?(?:option|choice|letter)|选项|选){_AROUND})?"
    rf"(?<![a-z])(?:\\text\{{)?([a-z]){_AROUND}(?:选项|项)?{_AROUND}",
    re.IGNORECASE,
)
# A letter that begins no entry of a list: "C", "(C)", "Option C."; not "C.", "C)" or "Option C".
_LETTER_OF_NO_LIST = re.compile(
    r"[\s#*_`\"“$]*+(?:[A-Z]|[(\[【<{][A-Z][)\]】>}])[\s*_`\"”$]*+[。!]?\s*|"
    r"(?i:(?:option|choice|选项)\s?)[(\[]?[A-Z][)\]]?\s?[.。!]\s*|[(\[【][A-Z][)\]】]\.\s*"
)
# the letter or number at the beginning of a line
_HEAD = re.compile(r"(?m:^)[ \t>*_#(\[【\-•·]*+([A-Z])(?:[*_]{0,2}\s?[.)、:\]】]|[*_]{0,2}[ \t]*$)")
_NUMBER = re.compile(r"\s*(\d{1,3})\s?[.)、]?\s*")
# "(C) Rome" is read as "C. Rome" is
_BRACKETED = re.compile(r"\A[ \t*_]*[(\[【]([A-Z])[)\]】][*_.:]*[ \t]*(?=\S)")
_LIST_MARKS = " \t>*_#-•·"


def counts(match: re.Match[str], text: str, options: Sequence[str]) -> bool:
    """True unless the group of `match` must hold an option and nothing else, and does not."""
    kinds = match.re.groupindex
    if OPTION in kinds:
        return named_option(match[1], options, alone=True) is not None
    return ALONE not in kinds or stands_alone(text, *match.span(1), options)


def stands_alone(text: str, start: int, end: int, options: Sequence[str]) -> bool:
    """True if `text[start:end]`, which ends a line of a reply, is an answer by itself. `text` is in
    plain spelling.
    """
    said = END_TOKEN.sub("", text[start:end]).strip(_PRAISE)
    if len(said) > _MOST_MARKS + max(map(len, options), default=0):
        return False
    is_letter = _LETTER.fullmatch(said) is not None
    if not is_letter and not any(core in squeezed(said) for core in _cores(tuple(options))):
        return False  # at once: most lines are prose
    named = named_option(_BRACKETED.sub(r"\1. ", said, 1), options, alone=not is_letter)
    if named is None:
        return False
    begun = text.rfind("\n", 0, start) + 1
    if text[begun:start].strip(_LIST_MARKS):
        return _concludes(said, is_letter, options)
    above, below = text[:begun].rstrip(), text[end:].strip(" \t\n`")
    return not (
        _is_listed(said, named.label, is_letter, above, below)
        or _options_stand_alone(f"{above}\n{below}", named.label, options)
    )


@lru_cache(maxsize=1024)  # asked for each reply to the question
def _cores(options: tuple[str, ...]) -> tuple[str, ...]:
    """What a line holds that holds an option's text."""
    return tuple(bare(text) for text in own_texts(options))


def _concludes(said: str, is_letter: bool, options: Sequence[str]) -> bool:
    """True if `said`, after a word such as "therefore", ends its sentence: else it may be cut.

    A letter does not count if the options speak of A, B and C, for it may be one of these.
    """
    if not is_letter:
        return said.rstrip()[-1:] in [*".。!"]
    in_options = any(LETTER.search(plain(text)) for text in own_texts(options))
    return said.rstrip()[-1:] in [*".。!)]】"] and not in_options


def _is_listed(said: str, label: str, is_letter: bool, above: str, below: str) -> bool:
    """True if the line belongs to a list, or may be the place where a list was cut."""
    if below:
        return any(match[1] != label for match in _HEAD.finditer(below)) and not is_letter
    if not above:
        return False
    if above[-1] == ":" or (is_letter and not _LETTER_OF_NO_LIST.fullmatch(said)):
        return True
    if number := _NUMBER.fullmatch(said):
        before = int(number[1]) - 1
        return before == 0 or re.search(rf"(?m:^)\D{{0,4}}{before}\s?[.)、]", above) is not None
    heads = [match[1] for match in _HEAD.finditer(above)]
    follows = bool(heads) and label == chr(ord(heads[-1]) + 1)
    return bool(heads) and (label not in heads or follows)


def _options_stand_alone(text: str, label: str, options: Sequence[str]) -> bool:
    """True if another line of `text` holds another option, or its letter, and nothing else."""
    others: set[str] = set()
    for other, own in zip(LABELS, own_texts(options), strict=False):
        if other != label:
            others |= {squeezed(own), other.casefold()}
    return any(
        squeezed(line.strip(_LIST_MARKS)) in others for line in text.splitlines() if line.strip()
    )
