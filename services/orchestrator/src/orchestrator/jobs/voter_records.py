"""The records of a job's voters."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict
from typing_extensions import TypedDict  # pydantic requires this one on Python 3.11

from contract import CodedMessage
from contract.panels import Accuracy


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class SamplingValues(TypedDict):
    temperature: float
    top_p: float
    max_tokens: int


class ValidationRows(_Frozen):
    """How many of `total` validation rows a voter answered right."""

    right: int
    total: int

    @classmethod
    def of(cls, found: Accuracy | None) -> ValidationRows | None:
        return None if found is None else cls(right=found.right, total=found.total)


class VoterRecord(_Frozen):
    """A voter of a job: its model and its sampling values.

    Voters of a panel also have a weight, the digest of their format, their address if it is another
    than the job's, and their accuracy on validation rows, if that is known. `note` says what is
    special about its weight. Earlier versions wrote none of these.
    """

    name: str
    model: str
    sampling: SamplingValues
    url: str | None = None
    format_sha256: str | None = None
    weight: float = 1
    accuracy: ValidationRows | None = None
    note: str | None = None
    note_message: CodedMessage | None = None
