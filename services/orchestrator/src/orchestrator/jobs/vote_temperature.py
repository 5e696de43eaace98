"""The temperature of a vote by confidence: which one a job gets, and how one is fitted.

CISC (Taubenfeld et al. 2025, "Confidence Improves Self-Consistency in LLMs", arXiv 2502.06233,
section 3) weighs a sample by exp(c / T). T near 0 takes the surest sample; an infinite T counts
heads. The paper chooses T once for a model and a kind of confidence, by accuracy on questions that
were held out. So does `fit_temperature`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from orchestrator.jobs.records import JobSettings, StartFile
from orchestrator.jobs.scoring import is_right
from orchestrator.jobs.vote import UNFITTED, Slot, needs_logprobs, outcome, weight_of

# Below 1/8, more and more answers weigh the least weight there is: at 1/8, those with a mean
# probability under 18 %. Above 16, a weight hardly does more than break ties.
GRID = (1 / 8, 1 / 4, 1 / 2, 1.0, 2.0, 4.0, 8.0, 16.0, math.inf)


class LabelledVote(NamedTuple):
    """A question's key, and the label and `answer_logprob` of each of its samples, in order.

    A sample without a label is left out. Log-probabilities are in nats.
    """

    key: str
    samples: tuple[tuple[str, float], ...]


def fit_temperature(questions: Sequence[LabelledVote], *, multiple: bool = False) -> float:
    """The temperature of `GRID` with which most of the votes are right. Among equals, the one with
    the higher mean margin of the right answer, then the higher one. Infinity means that counting
    heads does as well.

    The margin is the share of votes of the right label that has most, less that of the wrong one. A
    question without a sample is wrong at any temperature. Ties go to the label seen first.
    `multiple`: all right options were asked for.

    Raises:
        ValueError: there are no questions.
    """
    if not questions:
        raise ValueError("no labelled questions to fit a temperature on")

    def worth(temperature: float) -> tuple[int, float, float]:
        votes = [_vote(question, temperature, multiple=multiple) for question in questions]
        margin = math.fsum(margin for _, margin in votes)
        return sum(right for right, _ in votes), margin, temperature

    return max(GRID, key=worth)


def _vote(question: LabelledVote, temperature: float, *, multiple: bool) -> tuple[bool, float]:
    """If the vote is right, and the right answer's margin, -1 to 1."""
    slots = [Slot(label, weight_of(c, temperature)) for label, c in question.samples]
    result = outcome(slots, len(slots))
    votes = {True: 0.0, False: 0.0}
    for label, weight in result.tally.items():
        right = is_right(label, question.key, multiple=multiple)
        votes[right] = max(votes[right], weight)
    margin = (votes[True] - votes[False]) / sum(result.tally.values()) if slots else 0.0
    return is_right(result.answer, question.key, multiple=multiple), margin


def starting_temperature(settings: JobSettings, calibrated: float | None = None) -> float | None:
    """What start.json fixes for all workers: the client's temperature, the calibration's, or the
    one that nothing was fitted for. None if the job's samples have no log-probabilities.
    """
    if not needs_logprobs(settings):
        return None
    chosen = settings.vote_temperature
    if chosen is None:
        chosen = calibrated
    return UNFITTED if chosen is None else chosen


def as_started(settings: JobSettings, start: StartFile | None) -> JobSettings:
    """The settings with the temperature that was fixed when the job started."""
    if start is None:
        return settings
    return settings.model_copy(update={"vote_temperature": start.vote_temperature})
