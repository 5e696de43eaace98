"""What is written about a job: its settings, and one record a question.

Pydantic, because they live in files.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Flag = Literal["tie", "early_stop", "resampled", "forced"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class JobSettings(_Frozen):
    """What a poster chose.

    None stands for the contract's own default, settled when the job starts.
    """

    samples: int = Field(3, ge=1, le=64)
    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, gt=0, le=1)
    max_tokens: int | None = Field(None, ge=1)
    seed: int = Field(0, ge=0, lt=2**31)
    early_stop: bool = True
    max_resamples: int = Field(2, ge=0, le=10)
    submission_format: Literal["full", "minimal"] = "full"
    allow_partial: bool = False


class JobFile(_Frozen):
    """job.json: written once, as the job is accepted."""

    id: str
    created_at: str
    filename: str
    sha256: str
    problems: int
    questions: int
    labelled: bool
    shards: int
    shard_questions: int
    settings: JobSettings


class EndFile(_Frozen):
    """end.json: how a job ended. Its presence means that it did."""

    status: Literal["completed", "failed", "cancelled"]
    finished_at: str
    error: str | None = None


class Sample(_Frozen):
    """One completion.

    `slot` is its place in the vote, `attempt` counts redraws of an invalid one.
    """

    slot: int
    attempt: int
    label: str | None
    seed: int
    finish_reason: str
    tokens: int
    text: str


class Answer(_Frozen):
    """A line of a journal and of answers.jsonl.

    `id` and `index` name the problem's row and the question in it.
    """

    id: str
    index: int
    answer: str | None
    agreement: float | None = None
    tally: dict[str, int] = {}
    flags: tuple[Flag, ...] = ()
    samples: tuple[Sample, ...] = ()
    samples_saved: int = 0
    latency_s: float = 0.0
    finished_at: float = 0.0
    error: str | None = None
