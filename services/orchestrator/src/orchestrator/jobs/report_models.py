"""The fields of report.json and of its sums, which a running job has too."""

from __future__ import annotations

from pydantic import BaseModel

from contract import CodedMessage
from orchestrator.jobs.confidence_models import ConfidenceReport
from orchestrator.jobs.cutting import CutSamples
from orchestrator.jobs.records import JobSettings, StartFile, Weighing
from orchestrator.jobs.scoring import OptionsF1
from orchestrator.jobs.voter_records import ValidationRows


class Accuracy(BaseModel):
    """Share of right answers with its 95 % interval (Wilson's)."""

    correct: int
    total: int
    value: float
    low: float
    high: float


class ClusteredInterval(BaseModel):
    """The interval under the assumption that errors in one problem are correlated.

    `design_effect` is the variance of the share divided by that for independent questions.
    """

    low: float
    high: float
    design_effect: float


class AgreementLevel(BaseModel):
    """Questions with an agreement above `above`, up to and including `up_to`."""

    above: float
    up_to: float
    questions: int
    accuracy: Accuracy | None


class VotesAccuracy(BaseModel):
    """The accuracy that a job with `votes` samples would have had, computed from this job's
    samples.

    A vote of 1 is one sample, which is redrawn while it names no option.
    """

    votes: int
    accuracy: Accuracy


class VoteCounted(BaseModel):
    """The accuracy that a job with another `vote` would have had, recounted from this job's
    samples.

    `difference` is that accuracy minus the one with `vote=plurality`, with a 95 % interval
    (Newcombe 1998, paired, method 10) and the p-value of McNemar's exact two-sided test; all are
    None for plurality itself. `unsettled` counts the questions for which this way would have drawn
    more samples: the job's own way stopped early, or had no tie.
    """

    vote: Weighing
    accuracy: Accuracy
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    p_value: float | None = None
    unsettled: int = 0


class MissedQuestion(BaseModel):
    index: int
    answer: str | None
    key: str
    agreement: float | None


class MissedProblem(BaseModel):
    """A problem with missed questions: the number of its questions, and the missed ones."""

    id: str
    questions: int
    missed: list[MissedQuestion]


class Provenance(BaseModel):
    """The origin of the answers: the job's name and metadata, the file's digest and what it was
    read as, the settings, and start.json with model and versions. Reports of earlier versions lack
    the name, the metadata and `read_as`.
    """

    name: str | None = None
    metadata: dict[str, str] = {}
    filename: str
    sha256: str
    read_as: CodedMessage | None = None
    settings: JobSettings
    start: StartFile | None


class VoterFigures(BaseModel):
    """A voter's samples: a slot's last attempt each. `accuracy` is over them, None without keys; a
    sample that names no option is wrong. `validation` is the accuracy that the panel has of it.
    """

    name: str
    model: str
    weight: float
    samples: int
    invalid: int
    accuracy: Accuracy | None
    validation: ValidationRows | None
    note: str | None
    note_message: CodedMessage | None


class VoterAgreement(BaseModel):
    """The share of equal labels of two voters, over their samples of the same turn that name an
    option.
    """

    first: str
    second: str
    samples: int
    equal: float | None


class AgainstBest(BaseModel):
    """The vote's accuracy minus that of the voter's first sample, on the same questions: its 95 %
    interval and McNemar's exact p-value.
    """

    voter: str
    questions: int
    voters_accuracy: Accuracy
    votes_accuracy: Accuracy
    difference: float
    low: float
    high: float
    p_value: float


class PanelFigures(BaseModel):
    """`against_best` compares with the voter that is best on validation rows; it is None without
    keys, or for the reason in a note.
    """

    name: str
    voters: list[VoterFigures]
    agreement: list[VoterAgreement]
    against_best: AgainstBest | None
    notes: list[CodedMessage]


class Sums(BaseModel):
    """Sums over the answers of a finished or running job.

    Accuracies are set if every question has a key, and so is `options_f1` if the job asked for all
    right options. `several_right` counts the questions whose key has several; `scoring` says what
    counted as right if that needs saying. `tokens` counts a prompt once per request.
    """

    answered: int
    failed: int
    accuracy: Accuracy | None
    accuracy_by_votes: list[VotesAccuracy]
    # empty if samples have no log-probabilities; reports of earlier versions lack it
    accuracy_by_vote: list[VoteCounted] = []
    # of one sample without redraws; reports of earlier versions lack it
    accuracy_first_draw: Accuracy | None = None
    options_f1: OptionsF1 | None = None
    several_right: int = 0
    scoring: str | None = None
    scoring_message: CodedMessage | None = None
    # None if no sample was cut; reports of earlier versions lack it
    cut: CutSamples | None = None
    agreement: float | None
    agreement_levels: list[AgreementLevel]
    labels: dict[str, int]
    keys: dict[str, int]
    flags: dict[str, int]
    # asked for in one round although early stopping is on; 0 in reports of earlier versions
    votes_at_once: int = 0
    samples: dict[str, int]
    tokens: dict[str, int]
    # None if the job has no panel
    panel: PanelFigures | None = None


class Report(Sums):
    """The figures of a finished job.

    `seconds` is the time from the first shard's start to the end, including waits.
    """

    job: str
    created_at: str
    finished_at: str
    seconds: float | None
    problems: int
    questions: int
    accuracy_by_problem: ClusteredInterval | None
    missed: list[MissedProblem]
    provenance: Provenance
    # reports of earlier versions lack it
    confidence: ConfidenceReport | None = None
