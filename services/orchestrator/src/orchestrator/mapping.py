"""How a sender maps a file's columns, as one text: question=题干 answer=正确答案."""

from __future__ import annotations

import re

from contract import Sentence
from orchestrator.errors import InvalidSettingError, shortened

# A part's name and its equals sign; a column's name may hold spaces, and ends before the next part.
_PART = re.compile(r"(?:^|\s)(\w+)=")


def parse_columns(text: str) -> dict[str, str]:
    """Our names and the file's columns.

    Raises:
        InvalidSettingError: the text does not consist of pairs, or names a part twice.
    """
    before, *rest = _PART.split(text.strip())
    columns: dict[str, str] = {}
    for part, column in zip(rest[::2], rest[1::2], strict=True):
        if part in columns:
            raise InvalidSettingError(
                Sentence(
                    "part-mapped-twice",
                    "columns: {part} is given twice; give it once",
                    part=part,
                )
            )
        columns[part] = column.strip()
    if before or not all(columns.values()):
        raise InvalidSettingError(
            Sentence(
                "no-column-pairs",
                "columns: write pairs, as in {example}; given was {given!r}",
                example="question=Stem answer=Key",
                given=shortened(text),
            )
        )
    return columns
