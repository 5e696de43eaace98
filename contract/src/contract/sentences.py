"""Sentences for people that programs and translations can use too: text, code and parameters.

A sentence is written in English, where it arises. It is the English text, so logs, terminals and
text fields show it as it is. Its code never changes, so programs and translations go by the code.
A parameter may be a sentence itself; words of other programs are parameters that are plain texts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict

Value = str | int | float


class Sentence(str):
    """An English sentence with its code and the values in it.

    `Sentence("too-many", "must be at most {limit}, are {count}", limit=5, count=7)`.
    """

    __slots__ = ("code", "params")

    code: str
    params: Mapping[str, Value]

    def __new__(cls, code: str, template: str, /, **params: Value) -> Self:
        return cls.made(template.format(**params), code, params)

    @classmethod
    def made(cls, text: str, code: str, params: Mapping[str, Value]) -> Self:
        """A sentence whose text is known already."""
        sentence = str.__new__(cls, text)
        sentence.code, sentence.params = code, params
        return sentence

    def message(self) -> CodedMessage:
        params = {name: _in_json(value) for name, value in self.params.items()}
        return CodedMessage(code=self.code, text=self, params=params)

    def __reduce__(self) -> tuple[Any, ...]:
        """Copies keep the code."""
        return type(self).made, (str(self), self.code, self.params)


class CodedMessage(BaseModel):
    """A sentence in JSON. It stands beside the field that has its text: `note_message` beside
    `note`.

    `code` names the sentence and never changes. `params` has the values in it by name; a value that
    is a sentence itself is again an object like this one.
    """

    model_config = ConfigDict(frozen=True)

    code: str
    text: str
    params: dict[str, CodedMessage | int | float | str] = {}

    def sentence(self) -> Sentence:
        params = {
            name: value.sentence() if isinstance(value, CodedMessage) else value
            for name, value in self.params.items()
        }
        return Sentence.made(self.text, self.code, params)


def coded(value: Value | None) -> CodedMessage | None:
    """A sentence's form in JSON; None for a value without a code, such as "ok" or a number."""
    return value.message() if isinstance(value, Sentence) else None


def _in_json(value: Value) -> CodedMessage | Value:
    """JSON has no number for infinity. It would be written as null, and not be read again."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return coded(value) or value
