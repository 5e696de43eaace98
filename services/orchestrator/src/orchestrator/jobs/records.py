"""The records of a job: its settings, its start and end, and one record per question.

They are pydantic models, because they are stored in files.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, WithJsonSchema

from contract import CodedMessage, PromptFormat
from contract.files.converting import Recognized
from contract.files.shapes import Reading
from orchestrator.jobs.scoring import is_right
from orchestrator.jobs.voter_records import VoterRecord
from orchestrator.thinking import Thinking

Flag = Literal[
    "tie", "early_stop", "resampled", "forced", "unpermuted", "cut", "one_label", "abstained"
]
Priority = Literal["high", "normal", "low"]
SubmissionFormat = Literal["full", "minimal", "csv", "posted"]
Weighing = Literal["plurality", "weighted", "confidence"]
# The tokens that `answer_logprob` is the mean of: those of the answer, or the last ones.
Span = Literal["answer", "tail"]
AS_IT_IS = Reading()
MAIN_VOTER = "main"


# More than any vote has; a larger number in a file is damage.
MOST_SLOTS = 100


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class JobSettings(_Frozen):
    """The settings that the client chose. The form, the command's options and the page are made
    from these fields.

    None means the contract's default, which is fixed when the job starts.
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
        "plurality",
        description="plurality, weighted by the replies' mean token probability, or confidence: "
        "by that of the tokens of the answer",
    )
    vote_temperature: float | None = Field(
        None,
        gt=0,
        le=100,
        description="with vote=confidence: the higher, the more alike the votes; default: the "
        "calibration's, or 1",
    )
    permute_options: bool = Field(
        False,
        description="each sample sees the options in another order, unless an option speaks of "
        "another",
    )
    panel: str | None = Field(
        None,
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$",
        description="the name of a panel, whose voters take the samples in turn; default: none",
    )
    multiple: bool = Field(False, description="ask for all right options; the vote is over sets")
    priority: Priority = Field("normal", description="high, normal or low")
    submission_format: SubmissionFormat = Field(
        "full", description="full, minimal, csv or posted (the posted file with answers in it)"
    )
    allow_partial: bool = Field(
        False, description="make a submission also when questions have no answer"
    )
    # these two need a calibration (docs/confidence.md)
    abstain_below: float | None = Field(
        None, gt=0, le=1, description="leave out answers with a lower calibrated confidence"
    )
    answer_sets: float | None = Field(
        None, ge=0.5, le=0.99, description="add sets of labels that hold the right one this often"
    )


class Particulars(_Frozen):
    """What a sender tells of a file, besides the settings: how to read it, and the job's name."""

    name: str | None = None
    metadata: dict[str, str] = {}
    reading: Reading = AS_IT_IS


class ShardPlace(_Frozen):
    """The start of a shard's problems in the file: byte `offset`, line `line` (from 1)."""

    offset: int
    line: int
    problems: int
    questions: int


class JobFile(_Frozen):
    """job.json: written once, when the job is accepted.

    `sha256` is that of the posted file. `reading` is how its sender wanted it to be read,
    `recognized` what it was read as; None for our own rows. Earlier versions wrote neither, and no
    `name` and `metadata`.
    """

    id: str
    created_at: str
    filename: str
    sha256: str
    problems: int
    questions: int
    labelled: bool
    shards: tuple[ShardPlace, ...]
    settings: JobSettings
    name: str | None = None
    metadata: dict[str, str] = {}
    reading: Reading = AS_IT_IS
    recognized: Recognized | None = None
    idempotency_key: str | None = None


class Counts(_Frozen):
    """Sums over the journaled questions of a done shard or of a job."""

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
        """The mean over the questions that had a vote. A forced answer had none."""
        return self.agreement_sum / self.voted if self.voted else None

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            **{name: getattr(self, name) + getattr(other, name) for name in Counts.model_fields}
        )


class Adapted(_Frozen):
    """A parameter that the endpoint at `url` refused. It is left out, or sent as `instead`, or with
    the value `sent`; with `value`, only where it has this value. `note` says what that means for
    the job. `model` is set in a job with a panel: only requests for it were refused.
    """

    parameter: str
    instead: str | None = None
    value: float | None = None
    sent: float | None = None
    url: str
    model: str | None = None
    note: str
    note_message: CodedMessage | None = None

    @property
    def key(self) -> tuple[str, str | None, float | None, float | None, str, str | None]:
        return self.parameter, self.instead, self.value, self.sent, self.url, self.model


class JobFormat(_Frozen):
    """The prompt format of a job whose model has no contract. All of its workers use it, although
    the setting may change.

    `note` says why it was chosen. `chinese_share` is the share of Chinese characters in the file,
    if that decided; `file` is the path of a user's own format.
    """

    name: Literal["zh", "en", "own"]
    note: str
    note_message: CodedMessage | None = None
    chinese_share: float | None = None
    file: str | None = None
    format: PromptFormat


# JSON has no infinite number; pydantic reads and writes the word.
AnyTemperature = Annotated[
    float,
    Field(gt=0, allow_inf_nan=True),
    WithJsonSchema({"anyOf": [{"type": "number", "exclusiveMinimum": 0}, {"const": "Infinity"}]}),
]
WITH_INFINITY = ConfigDict(ser_json_inf_nan="strings")


class StartFile(_Frozen):
    """start.json: the model, sampling values and versions of a job, written by the first shard.

    `adapted` is what the endpoint refused since. `prompt_note` says how the prompt differs from the
    model's format. `vote_temperature` is what all workers weigh confidences by; None if votes need
    no log-probabilities. `url` is the model server's address. Earlier versions wrote no `voters`,
    `thinking`, `extra_body`, `adapted`, `prompt_note`, `vote_temperature` and `url`.
    """

    model_config = WITH_INFINITY

    started_at: str
    model: str
    digest: str | None
    url: str | None = None
    temperature: float
    top_p: float
    max_tokens: int
    versions: dict[str, str]
    voters: tuple[VoterRecord, ...] = ()
    thinking: Thinking = "auto"
    extra_body: dict[str, JsonValue] = {}
    prompt_note: str | None = None
    prompt_note_message: CodedMessage | None = None
    adapted: tuple[Adapted, ...] = ()
    # infinite if a calibration found that confidences do not help
    vote_temperature: AnyTemperature | None = None
    # None with a contract, and in files of earlier versions, which used `PromptFormat()`
    prompt_format: JobFormat | None = None


class EndFile(_Frozen):
    """end.json: how a job ended. Its presence means that the job has ended.

    Earlier versions wrote no `error_message`.
    """

    status: Literal["completed", "failed", "cancelled"]
    finished_at: str
    error: str | None = None
    error_message: CodedMessage | None = None
    counts: Counts | None = None


class Sample(_Frozen):
    """One completion.

    `slot` is its place in the vote, `attempt` counts the redraws of an invalid sample, `voter` is
    the voter's name. `label` is a label of the question as posted, or several in order ("AC").
    `order` is set if options were permuted: its first letter is the label of the option that this
    sample saw as A, and so on. `logprob` is the mean over its tokens, in nats, if votes are
    weighted; `answer_logprob` is that of the tokens of its `span`, None if it names no option.
    `reasoning` is the part that the server sent apart from the text; no label is
    read from it. `reasoning_tokens` are those of `tokens` that went into reasoning, if the server
    counts them.
    """

    slot: int = Field(ge=0, lt=MOST_SLOTS)
    attempt: int
    voter: str = MAIN_VOTER
    label: str | None
    seed: int
    finish_reason: str
    tokens: int
    order: str | None = None
    logprob: float | None = None
    answer_logprob: float | None = None
    span: Span | None = None
    reasoning: str | None = None
    reasoning_tokens: int | None = None
    text: str


class Answer(_Frozen):
    """A line of a journal and of answers.jsonl: the result of a question that is done.

    `id` and `index` name the problem's row and the question in it; `key` is the answer in the file.
    `multiple`: all right options were asked for, and the answer is their labels in order: "AC".
    `at_once`: all samples were asked for together, although early stopping is on. Earlier versions
    wrote no `error_message`, no `at_once` and no `multiple`.
    `confidence` and `labels_set` come from the job's calibration when its results are written, so
    no journal has them.
    """

    id: str
    index: int
    answer: str | None
    key: str | None = None
    multiple: bool = False
    agreement: float | None = Field(None, ge=0, le=1)
    tally: dict[str, int | float] = {}
    flags: tuple[Flag, ...] = ()
    samples: tuple[Sample, ...] = ()
    samples_saved: int = 0
    at_once: bool = False
    confidence: float | None = Field(None, ge=0, le=1)
    labels_set: tuple[str, ...] | None = None
    prompt_tokens: int = 0
    latency_s: float = 0.0
    finished_at: float = Field(0.0, ge=0)
    error: str | None = None
    error_message: CodedMessage | None = None

    @property
    def failed(self) -> bool:
        """The question has no answer; `error` says why."""
        return self.answer is None

    @property
    def right(self) -> bool:
        """False if there is no answer or no key."""
        return is_right(self.answer, self.key, multiple=self.multiple)

    @property
    def forced(self) -> bool:
        """The answer comes from a reply restricted to the labels, not from a vote."""
        return "forced" in self.flags


class Drawn(_Frozen):
    """A line of a journal: samples that did not end their question's vote.

    Samples in these lines are not drawn again. Samples that end a vote are only in its answer.
    """

    id: str
    index: int
    drawn: tuple[Sample, ...]
    prompt_tokens: int = 0
