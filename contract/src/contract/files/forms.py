"""The form of a file: how it holds its records, whatever the records mean."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from contract.problems import FaultUnit
from contract.sentences import Sentence

Container = Literal[
    "json-lines", "json-array", "json-objects", "json-object", "table", "parquet", "text"
]


class Form(BaseModel):
    """What is needed to read a file's records, and to write them back in the same form.

    `key` names the list of records in a JSON object. `indent` is that of a JSON document, None for
    one without line breaks. A table has `delimiter` and `newline`; `header` has its columns' names
    if its first line does not. `names_delimiter`: it begins with Excel's line "sep=;".
    `spaced`: each of its delimiters is followed by a space, which is no part of the cell.
    """

    model_config = ConfigDict(frozen=True)

    container: Container
    key: str = ""
    indent: int | None = None
    delimiter: str = ","
    newline: str = "\n"
    header: tuple[str, ...] = ()
    names_delimiter: bool = False
    spaced: bool = False

    @property
    def unit(self) -> FaultUnit:
        """What the numbers of the records count."""
        is_counted = self.container in ("json-array", "json-object", "parquet")
        return "row" if is_counted else "line"

    def named(self) -> Sentence:
        match self.container:
            case "json-lines":
                return Sentence("form-json-lines", "JSON lines")
            case "json-array":
                return Sentence("form-json-array", "a JSON array")
            case "json-objects":
                return Sentence("form-json-objects", "JSON objects")
            case "json-object":
                return Sentence("form-json-object", "the list {key} of a JSON object", key=self.key)
            case "parquet":
                return Sentence("form-parquet", "Parquet")
            case "text":
                return Sentence("form-text", "plain text")
            case "table":
                names = {",": "CSV", "\t": "TSV"}
                if self.delimiter in names:
                    return Sentence("form-table", "{name}", name=names[self.delimiter])
                return Sentence("form-table-with", "CSV with {delimiter}", delimiter=self.delimiter)


def told_together(first: str, second: Sentence) -> Sentence:
    return Sentence("told-together", "{first}, {second}", first=first, second=second)
