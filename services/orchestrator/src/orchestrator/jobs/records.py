"""What is written about a job: its settings, its beginning and end, and one record a question.

Pydantic, because they live in files.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict  # pydantic asks for this one on Python 3.11

Flag = Literal["tie", "early_stop", "resampled", "forced", "unpermuted", "cut"]
Priority = Literal["high", "normal", "low"]
Weighing = Literal["plurality", "weighted"]
MAIN_VOTER = "main"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class JobSettings(_Frozen):
    """What a poster chose. The form, the command's options and the page are made of these fields.

    None stands for the contract's own default, settled when the job starts.
    """

    samples: int = Field(3, ge=1, le=64, description="samples drawn per question, 1 to 64")
    temperature: float | None = Field(None, ge=0, le=2, description="default: the contract's")
    top_p: float | None = Field(None, gt=0, le=1, description="default: the contract's")
    max_tokens: int | None = Field(None, ge=1, description="default: the contract's")
    seed: int = Field(0, ge=0, lt=2**31, description="same file, seed and weights: same samples")
    early_stop: bool = Field(
        True, description="stop drawing when no sample left could change the winner"
    )
    max_resamples: int = Field(
        2, ge=0, le=10, description="how often a sample that names no option is drawn again"
    )
    vote: Weighing = Field(
        "plurality", description="plurality, or weighted by the replies' mean token probability"
    )
    permute_options: bool = Field(
        False,
        description="each sample sees the options in another order, unless an option speaks of "
        "another",
    )
    priority: Priority = Field("normal", description="high, normal or low")
    submission_format: Literal["full", "minimal"] = Field("full", description="full or minimal")
    allow_partial: bool = Field(
        False, description="make a submission also when questions have no answer"
    )


class ShardPlace(_Frozen):
    """Where a shard's problems lie: from byte `offset` on, on line `line` (from 1)."""

    offset: int
    line: int
    problems: int
    questions: int


class JobFile(_Frozen):
    """job.json: written once, as the job is accepted."""

    id: str
    created_at: str
    filename: str
    sha256: str
    problems: int
    questions: int
    labelled: bool
    shards: tuple[ShardPlace, ...]
    settings: JobSettings
    idempotency_key: str | None = None


class SamplingValues(TypedDict):
    temperature: float
    top_p: float
    max_tokens: int


class Counts(_Frozen):
    """Sums over journaled questions: what a shard leaves behind when it is done, and a job."""

    completed: int = 0
    failed: int = 0
    drawn: int = 0
    saved: int = 0
    correct: int = 0
    voted: int = 0
    agreement_sum: float = 0.0

    @property
    def done(self) -> int:
        return self.completed + self.failed

    @property
    def agreement(self) -> float | None:
        """Mean over the questions that had a vote; a forced answer had none."""
        return self.agreement_sum / self.voted if self.voted else None

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            **{name: getattr(self, name) + getattr(other, name) for name in Counts.model_fields}
        )


class VoterRecord(_Frozen):
    """A voter of a job: the model that it asks, and its sampling values."""

    name: str
    model: str
    sampling: SamplingValues


class StartFile(_Frozen):
    """start.json: what the job is answered under; the first shard writes it, once."""

    started_at: str
    model: str
    digest: str | None
    temperature: float
    top_p: float
    max_tokens: int
    versions: dict[str, str]
    voters: tuple[VoterRecord, ...] = ()


class EndFile(_Frozen):
    """end.json: how a job ended. Its presence means that it did."""

    status: Literal["completed", "failed", "cancelled"]
    finished_at: str
    error: str | None = None
    counts: Counts | None = None


class Sample(_Frozen):
    """One completion.

    `slot` is its place in the vote, `attempt` counts redraws of an invalid one, `voter` is the
    name of the voter that was asked. `label` is the
    question's own; `order` holds the question's labels as this sample saw them, where options were
    permuted: the first letter is the option that it saw as A. `logprob` is the mean over its
    tokens, in nats, where votes are weighted by it. `reasoning` is what the server sent apart from
    the text; no label is read from it.
    """

    slot: int
    attempt: int
    voter: str = MAIN_VOTER
    label: str | None
    seed: int
    finish_reason: str
    tokens: int
    order: str | None = None
    logprob: float | None = None
    reasoning: str | None = None
    text: str


class Answer(_Frozen):
    """A line of a journal and of answers.jsonl: a question that is done.

    `id` and `index` name the problem's row and the question in it; `key` is the file's own answer.
    """

    id: str
    index: int
    answer: str | None
    key: str | None = None
    agreement: float | None = None
    tally: dict[str, int | float] = {}
    flags: tuple[Flag, ...] = ()
    samples: tuple[Sample, ...] = ()
    samples_saved: int = 0
    prompt_tokens: int = 0
    latency_s: float = 0.0
    finished_at: float = 0.0
    error: str | None = None

    @property
    def failed(self) -> bool:
        """The question has no answer; `error` says why."""
        return self.answer is None

    @property
    def right(self) -> bool:
        """The answer is the file's own; False if there is no answer, or no key."""
        return self.answer is not None and self.answer == self.key

    @property
    def forced(self) -> bool:
        """The answer comes from a reply held to the labels, and not from a vote."""
        return "forced" in self.flags


class Drawn(_Frozen):
    """A line of a journal: samples of a question whose vote went on after them.

    Those that end a vote stand in its answer alone. Samples that stand here are not drawn again.
    """

    id: str
    index: int
    drawn: tuple[Sample, ...]
    prompt_tokens: int = 0
