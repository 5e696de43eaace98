"""The keys of flat rows: a letter, a number, or an option's text; and which of these a file uses.

A number alone does not say if the first option is 0 or 1. The whole file decides it: only one of
the two has a 0, and only the other has a number as high as the options are many.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from contract.files.shapes import ShapeError
from contract.options import LABELS, own_texts
from contract.sentences import Sentence

KeyForm = Literal["letter", "number", "text"]

_NAME = r"(?:选项|答案|OPTION|CHOICE|ANSWER)?\s*[:：]?\s*"
_LETTER = re.compile(rf"{_NAME}[(\[{{<【「《\"']*\s*([A-Z])\s*[)\]}}>】」》\"'.、:,]*(?:选项|项)?")
_LETTERS = re.compile(r"[A-Z]{2,26}")
_BETWEEN = re.compile(r"\s*(?:[,;、/&+|\s]|\bAND\b|和)\s*")
_NUMBER = re.compile(r"-?\d{1,6}(?:\.0+)?")
NO_KEY = -1  # files without keys have this in place of an index


class Keys(NamedTuple):
    """How a file gives its keys. `first` is the number of the first option. `is_text` and `is_list`
    say how the first key is written; they matter where an answer is written back.
    """

    form: KeyForm
    first: Literal[0, 1] | None = None
    is_text: bool = True
    is_list: bool = False


_LETTERS_IF_NO_KEYS = Keys("letter", is_text=False)


@dataclass
class KeyCounts:
    """What the keys of all records allow. Rows that decide the first option's number are kept."""

    keys: int = 0
    letters: int = 0
    texts: int = 0
    numbers: int = 0
    least: int = 0
    most: int = 0
    zero_in: int | None = None
    highest_in: int | None = None
    ties: int = 0
    values: list[Any] = field(default_factory=list)

    def add(self, number: int, value: Any, options: Sequence[str]) -> None:
        """Count the key of record `number`."""
        if is_left_out(value, options):
            return
        self.values = self.values or [value]
        self.keys += 1
        letters, texts = letters_of(value, len(options)), texts_of(value, options)
        self.letters += letters is not None
        self.texts += texts is not None
        self.ties += letters is not None and texts is not None and letters != texts
        if (indexes := numbers_of(value)) is None:
            return
        self.least = min(indexes) if not self.numbers else min(self.least, *indexes)
        self.most = max(indexes) if not self.numbers else max(self.most, *indexes)
        self.numbers += 1
        if self.zero_in is None and 0 in indexes:
            self.zero_in = number
        if self.highest_in is None and len(options) in indexes:
            self.highest_in = number

    def decided(self, index_base: Literal[0, 1] | None) -> Keys | None:
        """How the file gives its keys; None if it has none.

        Raises:
            ShapeError: they are numbers, and nothing says what the first option's is; or each is a
                letter and the text of another option.
        """
        if not self.keys:
            return None
        form = "number" if index_base is not None else self._form()
        value = self.values[0]
        is_list = isinstance(value, list)
        is_text = isinstance(value[0] if is_list and value else value, str)
        first = (self._first() if index_base is None else index_base) if form == "number" else None
        return Keys(form, first, is_text, is_list)

    def _form(self) -> KeyForm:
        if self.numbers == self.keys and not (
            self.texts == self.keys and isinstance(self.values[0], str)
        ):
            return "number"
        if self.ties == self.keys:
            raise ShapeError(
                Sentence(
                    "keys-ambiguous",
                    "each answer is a letter and the text of another option, such as {key}; write "
                    "the numbers of the options instead, and send index_base=0 or index_base=1",
                    key=str(self.values[0])[:40],
                )
            )
        if self.letters >= max(self.texts, self.numbers):
            return "letter"
        return "text" if self.texts >= self.numbers else "number"

    def _first(self) -> Literal[0, 1]:
        if self.zero_in is not None and self.highest_in is not None:
            raise ShapeError(
                Sentence(
                    "index-base-both",
                    "the answers are numbers, and no option can be the first: row {zero} has a 0, "
                    "and row {highest} the number of its options; send index_base=0 or "
                    "index_base=1 to see which rows are wrong",
                    zero=self.zero_in,
                    highest=self.highest_in,
                )
            )
        if self.zero_in is None and self.highest_in is None:
            raise ShapeError(
                Sentence(
                    "index-base-unknown",
                    "the answers are numbers from {least} to {most}, and do not say if the first "
                    "option is 0 or 1; send index_base=0 or index_base=1",
                    least=self.least,
                    most=self.most,
                )
            )
        return 0 if self.zero_in is not None else 1


def is_empty(value: Any) -> bool:
    return not value.strip() if isinstance(value, str) else value is None or value == []


def is_left_out(value: Any, options: Sequence[str], keys: Keys | None = None) -> bool:
    """True for a key that is left out: null, an empty text or list, or -1. Where keys are no
    numbers, -1 may be the text of an option.
    """
    if is_empty(value) or numbers_of(value) != [NO_KEY]:
        return is_empty(value)
    is_number = keys is not None and keys.form == "number"
    return is_number or texts_of(value, options) is None


def labels_of(value: Any, options: Sequence[str], keys: Keys) -> str | None:
    """The labels of a key in order, or None if it names no option."""
    if keys.form == "number":
        found = numbers_of(value)
        first = keys.first or 0
        if found is None or not all(first <= one < first + len(options) for one in found):
            return None
        return _joined(LABELS[one - first] for one in found)
    if keys.form == "letter":
        return letters_of(value, len(options)) or texts_of(value, options)
    return texts_of(value, options) or letters_of(value, len(options))


def written(labels: str | None, options: Sequence[str], keys: Keys | None, old: Any) -> Any:
    """An answer in the form of the file's keys, which are letters if it has none. `old` is the
    value that the answer replaces.
    """
    keys = keys or _LETTERS_IF_NO_KEYS
    if labels is None:
        return "" if isinstance(old, str) or (old is None and keys.is_text) else None
    several: list[Any] = [LABELS.index(label) for label in labels]
    if keys.form == "letter":
        several = [*labels]
    elif keys.form == "text":
        several = [options[place] for place in several]
    else:
        numbers = [place + (keys.first or 0) for place in several]
        several = [*map(str, numbers)] if keys.is_text else [*numbers]
    is_list = isinstance(old, list) or (old is None and keys.is_list)
    if is_list:
        return several
    if len(several) == 1:
        return several[0]
    return "".join(several) if keys.form == "letter" else ",".join(map(str, several))


def letters_of(value: Any, options: int) -> str | None:
    """The labels in "B", "b", "Ｂ", "(B)", "选项B", "AC", "A,C", ["A", "C"]."""
    if isinstance(value, list):
        return _each(value, lambda one: letters_of(one, options))
    if not isinstance(value, str):
        return None
    text = unicodedata.normalize("NFKC", value).strip().upper()
    if match := _LETTER.fullmatch(text):
        return match[1] if match[1] in LABELS[:options] else None
    parts = [*text] if _LETTERS.fullmatch(text) else _BETWEEN.split(text)
    matches = [_LETTER.fullmatch(part) for part in parts]
    found = [match[1] for match in matches if match]
    if len(found) != len(parts) or not set(found) <= set(LABELS[:options]):
        return None
    return _joined(found)


def numbers_of(value: Any) -> list[int] | None:
    """The numbers in 2, 2.0, "2", "0,2", [0, 2]."""
    if isinstance(value, list):
        found = [numbers_of(one) for one in value]
        return [number for one in found if one for number in one] or None if all(found) else None
    if _is_number(value):
        return [int(value)] if value == int(value) else None
    if not isinstance(value, str):
        return None
    parts = _BETWEEN.split(unicodedata.normalize("NFKC", value).strip())
    if not all(_NUMBER.fullmatch(part) for part in parts):
        return None
    return [int(float(part)) for part in parts]


def texts_of(value: Any, options: Sequence[str]) -> str | None:
    """The label of the option whose text `value` is, with or without its letter."""
    if isinstance(value, list):
        return _each(value, lambda one: texts_of(one, options))
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        return None
    text = str(value).strip()
    for texts in (options, own_texts(options)):
        found = [option.strip() for option in texts]
        if text in found:
            return LABELS[found.index(text)]
    return None


def _each(values: Iterable[Any], labels: Any) -> str | None:
    found = [labels(value) for value in values]
    return _joined("".join(found)) if found and all(found) else None


def _joined(labels: Iterable[str]) -> str | None:
    """Each label once, in order; None if one stands twice."""
    found = [*labels]
    return "".join(sorted(found)) if len(set(found)) == len(found) else None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
