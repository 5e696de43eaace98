"""What the benchmarks' shapes have in common: texts, lists of options, and keys that are letters.

Each function raises RowFaultsError with the place in the record and the reason.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from contract.files.shapes import RowFaultsError
from contract.options import LABELS
from contract.problems import OBJECT, must_be
from contract.sentences import Sentence

_TEXT = Sentence("wanted-some-text", "a text that is not empty")
_PASSAGE = Sentence("wanted-passage", "a text, or null if there is none")
_OPTIONS = Sentence("wanted-option-texts", "a list of 1 to {most} texts", most=len(LABELS))
_OPTION = Sentence("wanted-option-text", "a text")


def text_in(values: Mapping[str, Any], key: str, prefix: str = "") -> str:
    value = values.get(key)
    if isinstance(value, str) and value.strip():
        return value
    raise RowFaultsError((prefix + key, must_be(_TEXT, value)))


def object_in(value: Any, place: str) -> Mapping[str, Any]:
    if isinstance(value, dict):
        return value
    raise RowFaultsError((place, must_be(OBJECT, value)))


def options_in(value: Any, place: str) -> list[str]:
    if not isinstance(value, list) or not 1 <= len(value) <= len(LABELS):
        raise RowFaultsError((place, must_be(_OPTIONS, value)))
    for index, option in enumerate(value):
        if not isinstance(option, str):
            raise RowFaultsError((f"{place}[{index}]", must_be(_OPTION, option)))
    return value


def key_in(value: Any, options: int, place: str) -> str:
    """The labels that a key names, in order: "B", "AC" for "AC", "ca" and ["A", "C"]; "" for a
    missing key, which is null, "" or [].
    """
    several = value if isinstance(value, list) else [] if value is None else [value]
    texts = [text for text in several if isinstance(text, str)]
    letters = unicodedata.normalize("NFKC", "".join(texts)).upper()
    letters = "".join(letters.split())
    known = len(texts) == len(several) and set(letters) <= set(LABELS[:options])
    if known and len(set(letters)) == len(letters):
        return "".join(sorted(letters))
    wanted = Sentence(
        "wanted-key", "one or more of {labels}, each once", labels=", ".join(LABELS[:options])
    )
    shown = ", ".join(texts) if len(texts) == len(several) else value
    raise RowFaultsError((place, must_be(wanted, shown)))


def asked(question: str, options: Sequence[str], key: str) -> dict[str, Any]:
    """A question of our row. `key` has the labels of the right options, "" if they are unknown."""
    found: dict[str, Any] = {"question": question, "options": [*options]}
    if key:
        found["answer"] = key if len(key) == 1 else [*key]
    return found


def row_of(
    values: Mapping[str, Any],
    questions: Sequence[dict[str, Any]],
    *,
    passage: str | None = None,
    id_keys: Iterable[str] = ("id",),
) -> dict[str, Any]:
    """Our row. Its id is the first that the record has under `id_keys`. `passage` is the record's
    key of the text that all questions are about.
    """
    row: dict[str, Any] = {}
    found = [values[key] for key in id_keys if values.get(key) not in (None, "")]
    if found:
        row["id"] = found[0]
    text = values.get(passage) if passage else None
    if not isinstance(text, str | None):
        raise RowFaultsError((str(passage), must_be(_PASSAGE, text)))
    if text and text.strip():
        row["problem"] = text
    row["questions"] = [*questions]
    return row


def written(labels: str | None) -> str | list[str] | None:
    """Labels as JSON files with letters have them: "B", ["A", "C"], null."""
    return labels if labels is None or len(labels) == 1 else [*labels]
