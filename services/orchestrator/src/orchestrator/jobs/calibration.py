"""A calibration: what the answers of an ended job with keys say about other jobs' answers.

It holds for jobs with the same model and the same settings that matter to a vote (`Conditions`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Self

from pydantic import BaseModel, ConfigDict, JsonValue

from orchestrator.jobs.confidence.choosing import (
    Model,
    ModelScore,
    choose,
    fit_to_all,
    replicates,
)
from orchestrator.jobs.confidence.conformal import Scores, scores_of
from orchestrator.jobs.confidence.dirichlet import Dirichlet
from orchestrator.jobs.confidence.forecasting import Keyed, residual_effect
from orchestrator.jobs.confidence.reliability import (
    ReliabilityBin,
    brier,
    calibration_error,
    reliability,
)
from orchestrator.jobs.confidence.shifts import Distribution, distribution
from orchestrator.jobs.confidence.votes import Case
from orchestrator.jobs.records import Answer, JobFile, JobSettings, StartFile

# What a job's answers are made into afterwards, and when it runs, changes no vote.
WITHOUT_EFFECT = frozenset(
    {"seed", "priority", "submission_format", "allow_partial", "abstain_below", "answer_sets"}
)
LENGTH_STEP = 10


class Conditions(BaseModel):
    """What a calibration holds for. Two jobs with equal conditions ask the same model alike.

    A model with a contract is its digest, whatever its server's address. Without one, it is its
    name at the endpoint `url`, asked in the format with the digest `prompt`. `voters` are those of
    start.json.
    """

    model_config = ConfigDict(frozen=True)

    model: str
    digest: str | None
    url: str | None = None
    prompt: str | None = None
    thinking: str
    extra_body: dict[str, JsonValue]
    settings: dict[str, JsonValue]
    voters: tuple[dict[str, JsonValue], ...] = ()

    @classmethod
    def of(cls, settings: JobSettings, start: StartFile) -> Self:
        """The conditions of a started job; values that the contract gave are in `start`."""
        chosen = settings.model_dump(mode="json", exclude={*WITHOUT_EFFECT})
        chosen |= {name: getattr(start, name) for name in ("temperature", "top_p", "max_tokens")}
        with_contract = start.digest is not None
        fmt = start.prompt_format
        return cls(
            model=start.model,
            digest=start.digest,
            url=None if with_contract else start.url,
            prompt=fmt and hashlib.sha256(fmt.format.model_dump_json().encode()).hexdigest()[:16],
            thinking=start.thinking,
            extra_body=start.extra_body,
            settings=chosen,
            voters=tuple(voter.model_dump(mode="json") for voter in start.voters),
        )


class Calibration(BaseModel):
    """A calibration as it is kept. Scores, bins and errors are of predictions for questions that
    the fit had not seen (cross-validation).

    `agreement_error` is the calibration error of agreement, if that were taken for a confidence.
    `replicates` are fits to resampled problems. `right_scores` are for `confidence.conformal`.
    `design_effect` is how much more a problem's right answers vary than independent ones.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    made_at: str
    job: str
    data_sha256: str
    conditions: Conditions
    questions: int
    problems: int
    right: int
    model: Model
    scores: tuple[ModelScore, ...]
    brier: float
    calibration_error: float
    bins: tuple[ReliabilityBin, ...]
    agreement_brier: float
    agreement_error: float
    design_effect: float
    replicates: tuple[Model, ...]
    posterior: Dirichlet
    right_scores: Scores
    agreement: Distribution
    length: Distribution

    def summary(self) -> CalibrationSummary:
        kept = self.model_dump(include={*CalibrationSummary.model_fields} - {"model"})
        return CalibrationSummary(**kept, model=self.model.kind)


class CalibrationSummary(BaseModel):
    """A calibration without what only a computation needs."""

    id: str
    made_at: str
    job: str
    data_sha256: str
    conditions: Conditions
    questions: int
    problems: int
    right: int
    model: str
    scores: tuple[ModelScore, ...]
    brier: float
    calibration_error: float
    bins: tuple[ReliabilityBin, ...]
    agreement_brier: float
    agreement_error: float


class CalibrationList(BaseModel):
    """Calibrations, newest first."""

    data: list[CalibrationSummary]


def fitted(
    job: JobFile,
    conditions: Conditions,
    answered: Sequence[Sequence[tuple[Answer, Case]]],
    name: str,
    made_at: str,
) -> Calibration:
    """The calibration named `name`, from each problem's answers with keys."""
    problems = [[case for _, case in problem] for problem in answered]
    cases = [case for problem in problems for case in problem]
    answers = [answer for problem in answered for answer, _ in problem]
    right = [case.right for case in cases]
    choice = choose(problems)
    model = fit_to_all(problems, choice.name)
    posterior = model if isinstance(model, Dirichlet) else model.posterior
    agreement = [agreement_of(answer) for answer in answers]
    return Calibration(
        id=name,
        made_at=made_at,
        job=job.id,
        data_sha256=job.sha256,
        conditions=conditions,
        questions=len(cases),
        problems=len(problems),
        right=sum(right),
        model=model,
        scores=tuple(choice.scores),
        brier=brier(choice.predicted, right),
        calibration_error=calibration_error(choice.predicted, right, choice.fitted)[0],
        bins=tuple(reliability(choice.predicted, right, choice.fitted)),
        agreement_brier=brier(agreement, right),
        agreement_error=calibration_error(agreement, right)[0],
        design_effect=_design_effect(problems, choice.predicted),
        replicates=tuple(replicates(problems, choice.name)),
        posterior=posterior,
        right_scores=scores_of(cases, posterior),
        **distributions(agreement, map(length_of, answers), len(problems)),
    )


def agreement_of(answer: Answer) -> float:
    """A forced answer had no vote; it counts as one of agreement 0."""
    return answer.agreement or 0.0


def length_of(answer: Answer) -> float:
    """The mean length of an answer's samples, in characters."""
    characters = sum(len(s.text) + len(s.reasoning or "") for s in answer.samples)
    return characters / max(1, len(answer.samples))


def distributions(
    agreement: Iterable[float], lengths: Iterable[float], problems: int
) -> dict[str, Distribution]:
    """What is compared to find a shift: agreement, and the lengths of replies, both rounded."""
    steps = (round(length / LENGTH_STEP) for length in lengths)
    return {
        "agreement": distribution((round(value, 3) for value in agreement), problems),
        "length": distribution((float(step * LENGTH_STEP) for step in steps), problems),
    }


def _design_effect(problems: Sequence[Sequence[Case]], predicted: Sequence[float]) -> float:
    sums, at = [], 0
    for problem in problems:
        part = predicted[at : at + len(problem)]
        at += len(problem)
        sums.append(Keyed(len(problem), sum(case.right for case in problem), sum(part)))
    return residual_effect(sums, sum(p * (1 - p) for p in predicted))
