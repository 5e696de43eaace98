"""The keys of flat rows: letters, numbers, texts of options, or a mark for each option."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple

from contract.files.option_lists import list_in
from contract.options import LABELS, own_texts
from contract.strict_json import StrictJsonError, read_json, write_json

KeyForm = Literal["letter", "number", "text", "mark"]

_NAME = r"(?:选项|答案|OPTION|CHOICE|ANSWER)?\s*[:：]?\s*"
_LETTER = re.compile(rf"{_NAME}[(\[{{<【「《\"']*\s*([A-Z])\s*[)\]}}>】」》\"'.、:,]*(?:选项|项)?")
_LETTERS = re.compile(r"[A-Z]{2,26}")
_BETWEEN = re.compile(r"\s*(?:[,;、/&+|\s]|\bAND\b|和)\s*")
_NUMBER = re.compile(r"-?\d{1,6}(?:\.0+)?")
_MARKS = {"0": False, "1": True, "false": False, "true": True}
_FEWEST_MARKS = 2  # [1] is an index
NO_KEY = -1  # files without keys have this in place of an index


class Keys(NamedTuple):
    """How a file gives its keys. `first` is the number of the first option. `is_text` and `is_list`
    say how the first key is written, and `is_true` that its marks are true and false, not 1 and 0;
    they matter where an answer is written back.
    """

    form: KeyForm
    first: Literal[0, 1] | None = None
    is_text: bool = True
    is_list: bool = False
    is_true: bool = False

    @classmethod
    def like(cls, value: Any, form: KeyForm, first: Literal[0, 1] | None = None) -> Keys:
        """Keys of a form that are written as `value` is."""
        is_list = isinstance(value, list)
        one = value[0] if is_list and value else value
        is_true = isinstance(one, bool) or (isinstance(one, str) and "true" in one.casefold())
        return cls(form, first, isinstance(one, str), is_list, form == "mark" and is_true)


_LETTERS_IF_NO_KEYS = Keys("letter", is_text=False)


def is_empty(value: Any) -> bool:
    return not value.strip() if isinstance(value, str) else value is None or value == []


def is_left_out(value: Any, options: Sequence[str], keys: Keys | None = None) -> bool:
    """True for a key that is left out: null, an empty text or list, or -1. Where keys are no
    numbers, -1 may be the text of an option.
    """
    if is_empty(value) or numbers_of(value) != [NO_KEY]:
        return is_empty(value)
    is_number = keys is not None and keys.form == "number"
    return is_number or not holders_of(value, options)


def labels_of(value: Any, options: Sequence[str], keys: Keys) -> str | None:
    """The labels of a key in order; None if it names no option, or could name another one.

    Among letters, the text of an option is read too, if it can be nothing else: it is no number of
    an option, and not several letters. A single letter is a letter, whatever the options are.
    """
    if keys.form == "number":
        return numbered(value, len(options), keys.first or 0)
    if keys.form == "mark":
        return marks_of(value, len(options))
    text = texts_of(value, options)
    if keys.form == "text":
        return text
    letters = letters_of(value, len(options))
    if letters and (len(letters) == 1 or not holders_of(value, options)):
        return letters
    others = {letters, *(numbered(value, len(options), first) for first in (0, 1))}
    return text if others <= {text, None} else None


def numbered(value: Any, options: int, first: int) -> str | None:
    """The labels of the options with the numbers in `value`, where the first has number `first`."""
    found = numbers_of(value)
    if found is None or not all(first <= one < first + options for one in found):
        return None
    return _joined(LABELS[one - first] for one in found)


def written(labels: str | None, options: Sequence[str], keys: Keys | None, old: Any) -> Any:
    """An answer in the form of the file's keys, which are letters if it has none. `old` is the
    value that the answer replaces.
    """
    keys = keys or _LETTERS_IF_NO_KEYS
    if labels is None:
        return "" if isinstance(old, str) or (old is None and keys.is_text) else None
    if keys.form == "mark":
        return _marks_written([label in labels for label in LABELS[: len(options)]], keys, old)
    several: list[Any] = [LABELS.index(label) for label in labels]
    if keys.form == "letter":
        several = [*labels]
    elif keys.form == "text":
        texts = [options[place] for place in several]
        several = texts if keys.is_text else [*map(_as_number, texts)]
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


def marks_of(value: Any, options: int) -> str | None:
    """The labels of the right options in [0, 1, 0], [false, true, false], "[0, 1, 0]", "0,1,0": a
    mark for each option. None if there is no such list, or no option is right.
    """
    if isinstance(value, str):
        value = list_in(value) or _BETWEEN.split(value.strip())
    if not isinstance(value, list) or len(value) != options or options < _FEWEST_MARKS:
        return None
    marks = [_MARKS.get(str(one).casefold().removesuffix(".0")) for one in value]
    if None in marks:
        return None
    return "".join(label for label, mark in zip(LABELS, marks, strict=False) if mark) or None


def _marks_written(marks: list[bool], keys: Keys, old: Any) -> Any:
    found: list[Any] = marks if keys.is_true else [*map(int, marks)]
    if not keys.is_text or isinstance(old, list):
        return found
    is_bare = isinstance(old, str) and bool(old.strip()) and not old.lstrip().startswith("[")
    text = write_json(found) if isinstance(old, str) and old.islower() else str(found)
    return text[1:-1].replace(" ", "") if is_bare else text


def texts_of(value: Any, options: Sequence[str]) -> str | None:
    """The label of the option whose text `value` is, with or without its letter. None if several
    options have this text.
    """
    if isinstance(value, list):
        return _each(value, lambda one: texts_of(one, options))
    found = holders_of(value, options)
    return found if len(found) == 1 else None


def holders_of(value: Any, options: Sequence[str]) -> str:
    """The labels of all options whose text `value` is; of each text if it is a list."""
    if isinstance(value, list):
        return "".join(holders_of(one, options) for one in value)
    if not isinstance(value, str | int | float) or isinstance(value, bool):
        return ""
    written = {str(value).strip()}
    if isinstance(value, float) and value.is_integer():
        written.add(str(int(value)))
    for texts in (options, own_texts(options)):
        pairs = zip(LABELS, texts, strict=False)
        if found := "".join(label for label, text in pairs if text.strip() in written):
            return found
    return ""


def _each(values: Iterable[Any], labels: Any) -> str | None:
    found = [labels(value) for value in values]
    return _joined("".join(found)) if found and all(found) else None


def _joined(labels: Iterable[str]) -> str | None:
    """Each label once, in order; None if one stands twice."""
    found = [*labels]
    return "".join(sorted(found)) if len(set(found)) == len(found) else None


def _as_number(text: str) -> Any:
    """The number that an option was in the file; the text if it was none."""
    try:
        found = read_json(text.encode("utf-8", "surrogatepass"))
    except StrictJsonError:
        return text
    return found if _is_number(found) else text


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
