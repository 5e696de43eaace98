"""The part of a report that says how far answers can be trusted."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel

from contract import CodedMessage
from orchestrator.jobs.confidence.reliability import CoveragePoint, ReliabilityBin
from orchestrator.jobs.confidence.shifts import Shift


class UsedCalibration(BaseModel):
    """The calibration that a job's confidence comes from; the error is on unseen questions."""

    id: str
    made_at: str
    job: str
    questions: int
    model: str
    calibration_error: float


class Forecast(BaseModel):
    """The job's accuracy without keys, with its 95 % interval."""

    value: float
    low: float
    high: float


class KeyedEstimate(Forecast):
    """The job's accuracy with `keys` keys, by prediction-powered inference. It holds if the
    questions with keys are a random sample. `predictor` is what stands for the others.
    """

    keys: int
    predictor: Literal["confidence", "agreement"]


class QuestionName(BaseModel):
    id: str
    index: int


class LabelProposal(BaseModel):
    """Questions to label: a random sample, and the expected half width of the interval with their
    keys.
    """

    seed: int
    half_width: float
    questions: list[QuestionName]


class ConfidenceReport(BaseModel):
    """How far a job's answers can be trusted.

    Without a calibration, `calibration` is None, `note` says how to get one, and nothing stands in
    for it. `shifts` are differences from the calibration's job that chance does not explain;
    `shift_notes` say so in sentences. With keys on every question, `reliability` and
    `calibration_error` (in `reliability`'s bins) are of this job.
    """

    calibration: UsedCalibration | None
    note: str | None = None
    note_message: CodedMessage | None = None
    forecast: Forecast | None = None
    with_keys: KeyedEstimate | None = None
    label_next: LabelProposal | None = None
    shifts: list[Shift] = []
    shift_notes: list[str] = []
    shift_messages: list[CodedMessage] = []
    abstain_below: float | None = None
    abstained: int = 0
    set_sizes: dict[int, int] = {}
    sets_with_key: int | None = None
    coverage: list[CoveragePoint] = []
    reliability: list[ReliabilityBin] = []
    calibration_error: float | None = None
