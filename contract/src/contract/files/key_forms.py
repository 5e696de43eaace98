"""Which form the keys of a file have. All of its keys decide it together.

A key may fit several forms: 2 is a number of an option, and the text of an option 2. A form is
possible if nearly all keys fit it. If two forms are possible, and some key would name another
option in each, the file is refused: one odd row must not change what all the others mean.

A number alone does not say if the first option is 0 or 1. Only one of the two has a 0, and only
the other has a number as high as the options are many.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any, Literal, NamedTuple

from contract.files.keys import (
    KeyForm,
    Keys,
    holders_of,
    is_left_out,
    letters_of,
    marks_of,
    numbered,
    numbers_of,
)
from contract.files.shapes import ShapeError
from contract.sentences import Sentence

# In the order in which they are preferred, where as many keys fit several.
_FORMS: tuple[KeyForm, ...] = ("letter", "text", "number", "mark")
_ODD_SHARE = 10  # one key in so many may not fit a form that is possible
_FEWEST_WITH_ODD = 3  # of so few keys, one may not fit

_Meaning = Literal["letter", "text", "from 0", "from 1", "mark"]


class _Found(NamedTuple):
    """A key, its record's number, and the options that it names in the forms in question."""

    number: int
    key: Any
    labels: tuple[str, ...] = ()


@dataclass
class KeyCounts:
    """What the keys of all records allow: how many fit each form, and the first records that tell
    forms apart.
    """

    keys: int = 0
    first_key: Any = None
    fitting: Counter[KeyForm] = field(default_factory=Counter)
    misfits: dict[KeyForm, _Found] = field(default_factory=dict)
    apart: dict[frozenset[_Meaning], _Found] = field(default_factory=dict)
    numbers: int = 0
    least: int = 0
    most: int = 0
    zero_in: int | None = None
    highest_in: int | None = None

    def add(self, number: int, value: Any, options: Sequence[str]) -> None:
        """Count the key of record `number`."""
        if is_left_out(value, options):
            return
        if not self.keys:
            self.first_key = value
        self.keys += 1
        possible: dict[_Meaning, str | None] = {
            "letter": letters_of(value, len(options)),
            "text": holders_of(value, options),
            "from 0": numbered(value, len(options), 0),
            "from 1": numbered(value, len(options), 1),
            "mark": marks_of(value, len(options)),
        }
        named = {meaning: labels for meaning, labels in possible.items() if labels}
        fitted = {_form(meaning) for meaning in named}
        for form in _FORMS:
            if fitted and form not in fitted:
                self.misfits.setdefault(form, _Found(number, value))
        self.fitting.update(fitted)
        for one, other in combinations(named, 2):
            if named[one] != named[other]:
                found = _Found(number, value, (named[one], named[other]))
                self.apart.setdefault(frozenset((one, other)), found)
        self._add_numbers(number, numbers_of(value), len(options))

    def _add_numbers(self, number: int, indexes: list[int] | None, options: int) -> None:
        if indexes is None:
            return
        self.least = min(indexes) if not self.numbers else min(self.least, *indexes)
        self.most = max(indexes) if not self.numbers else max(self.most, *indexes)
        self.numbers += 1
        if self.zero_in is None and 0 in indexes:
            self.zero_in = number
        if self.highest_in is None and options in indexes:
            self.highest_in = number

    def decided(self, index_base: Literal[0, 1] | None, column: str) -> Keys | None:
        """How the file gives its keys, which stand in `column`; None if it has none.

        Raises:
            ShapeError: two forms are possible and differ; or the keys are numbers, and nothing says
                what the first option's is.
        """
        if not self.keys:
            return None
        form: KeyForm = "number" if index_base is not None else self._form(column)
        first = (
            (self._first(column) if index_base is None else index_base)
            if form == "number"
            else None
        )
        return Keys.like(self.first_key, form, first)

    def _form(self, column: str) -> KeyForm:
        odd = max(self.keys // _ODD_SHARE, int(self.keys >= _FEWEST_WITH_ODD))
        possible = [form for form in _FORMS if self.keys - self.fitting[form] <= odd]
        # as indices, [0, 1] and [1, 0] would make all options right in all rows
        if "mark" in possible and self.fitting["mark"] == self.keys:
            return "mark"
        for one, other in combinations(possible, 2):
            self._check_not_apart(one, other, column)
        if not self.fitting and self.numbers == self.keys:
            return "number"
        return max(possible or _FORMS, key=lambda form: self.fitting[form])

    def _check_not_apart(self, one: KeyForm, other: KeyForm, column: str) -> None:
        """Check that keys which fit both forms name the same options in both.

        Raises:
            ShapeError: some do not. It names the first of them, and the first key that fits only
                one of the forms.
        """
        pairs = [frozenset((a, b)) for a in self._meanings(one) for b in self._meanings(other)]
        found = next((self.apart[pair] for pair in pairs if pair in self.apart), None)
        if found is None:
            return
        faults = [(found.number, column, _ambiguous(one, other, found))]
        for form in (one, other):
            if odd := self.misfits.get(form):
                reason = Sentence(
                    "key-of-other-form",
                    "{key} does not fit if the answers are {form}",
                    key=_shown(odd.key),
                    form=form_told(form),
                )
                faults.append((odd.number, column, reason))
        raise ShapeError(faults[0][2], *faults)

    def _meanings(self, form: KeyForm) -> list[_Meaning]:
        if form != "number":
            return [form]
        if (self.zero_in is None) == (self.highest_in is None):
            return ["from 0", "from 1"]
        return ["from 1"] if self.zero_in is None else ["from 0"]

    def _first(self, column: str) -> Literal[0, 1]:
        if self.zero_in is not None and self.highest_in is not None:
            zero = Sentence(
                "index-base-both",
                "has a 0, and another answer is as high as its row has options, so the first "
                "option is neither 0 nor 1; send index_base=0 or index_base=1 to see which rows "
                "are wrong",
            )
            highest = Sentence("index-base-not-0", "is as high as its row has options")
            raise ShapeError(zero, (self.zero_in, column, zero), (self.highest_in, column, highest))
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


def form_told(form: KeyForm) -> Sentence:
    if form == "letter":
        return Sentence("as-letters", "letters")
    if form == "text":
        return Sentence("as-texts", "texts of options")
    if form == "mark":
        return Sentence("as-marks", "a mark for each option")
    return Sentence("as-indices", "numbers of options")


def _form(meaning: _Meaning) -> KeyForm:
    return "number" if meaning == "from 0" or meaning == "from 1" else meaning


def _ambiguous(one: KeyForm, other: KeyForm, found: _Found) -> Sentence:
    first, second = found.labels
    if "number" in (one, other):
        return Sentence(
            "keys-number-or-other",
            "{key} names option {first} or {second}: the answers could be {form} or {other}; send "
            "index_base=0 or index_base=1 if they are numbers, or write letters in all rows",
            key=_shown(found.key),
            first=first,
            second=second,
            form=form_told(one),
            other=form_told(other),
        )
    return Sentence(
        "keys-ambiguous",
        "{key} names option {first} or {second}: the answers could be {form} or {other}; write the "
        "numbers of the options in all rows, and send index_base=0 or index_base=1",
        key=_shown(found.key),
        first=first,
        second=second,
        form=form_told(one),
        other=form_told(other),
    )


def _shown(key: Any) -> str:
    return str(key)[:40]
