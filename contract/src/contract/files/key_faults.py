"""Why a row's key names no option: the reasons that people are told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from contract.files.keys import Keys, holders_of, letters_of, texts_of
from contract.options import LABELS
from contract.problems import must_be
from contract.sentences import Sentence


def key_fault(key: Any, options: Sequence[str], keys: Keys) -> Sentence:
    """Why `key` is not one of the file's keys."""
    if keys.form in ("letter", "text"):
        if (twins := holders_of(key, options)) and not isinstance(key, list) and len(twins) > 1:
            return Sentence(
                "key-of-equal-options",
                "{key} is the text of the options {labels}; give them different texts, or write "
                "letters in all rows",
                key=_shown(key),
                labels=", ".join(twins),
            )
        if keys.form == "letter" and (text := texts_of(key, options)):
            return Sentence(
                "key-unclear",
                "{key} is the text of option {text}, and could be {form} too; write {text}",
                key=_shown(key),
                text=text,
                form=_other_form(key, options),
            )
    return must_be(_wanted(len(options), keys), key)


def _other_form(key: Any, options: Sequence[str]) -> Sentence:
    if letters_of(key, len(options)):
        return Sentence("several-letters", "several letters")
    return Sentence("number-of-option", "the number of an option")


def _wanted(options: int, keys: Keys) -> Sentence:
    match keys.form:
        case "number":
            first = keys.first or 0
            return Sentence(
                "wanted-number",
                "a number from {first} to {last}",
                first=first,
                last=first + options - 1,
            )
        case "letter":
            return Sentence("wanted-letter", "a letter from A to {last}", last=LABELS[options - 1])
        case "mark":
            return Sentence(
                "wanted-marks",
                "a list of {options} marks, 1 or true for each right option and 0 or false for "
                "the others",
                options=options,
            )
        case "text":
            return Sentence("wanted-option", "the text of an option")


def _shown(key: Any) -> str:
    return str(key)[:40]
