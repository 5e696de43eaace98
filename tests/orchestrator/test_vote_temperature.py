"""The temperature of a vote by confidence: fitted on labelled questions, and fixed for a job."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.jobs.records import JobSettings, StartFile
from orchestrator.jobs.vote import Slot, outcome, weight_of
from orchestrator.jobs.vote_temperature import (
    GRID,
    LabelledVote,
    as_started,
    fit_temperature,
    starting_temperature,
)


def question(key: str, *samples: tuple[str, float]) -> LabelledVote:
    return LabelledVote(key, samples)


SURE, UNSURE = math.log(0.9), math.log(0.3)


def right_at(questions: list[LabelledVote], temperature: float) -> int:
    answers = [
        outcome([Slot(label, weight_of(c, temperature)) for label, c in q.samples], 64).answer
        for q in questions
    ]
    return sum(answer == q.key for answer, q in zip(answers, questions, strict=True))


def test_a_low_temperature_is_chosen_where_the_sure_sample_is_right() -> None:
    """0.9 ** (1 / T) outweighs twice 0.3 ** (1 / T) if T is below 1.58."""
    alone = question("A", ("B", UNSURE), ("B", UNSURE), ("A", SURE))
    assert right_at([alone], 1.0) == 1
    assert right_at([alone], 2.0) == 0
    assert fit_temperature([alone]) <= 1.0


def test_counting_heads_is_chosen_where_the_sure_sample_is_wrong() -> None:
    misled = question("B", ("B", UNSURE), ("B", UNSURE), ("A", SURE))
    assert fit_temperature([misled]) == math.inf


def test_accuracy_goes_before_margin() -> None:
    """One question needs a low temperature; the margins of three others want an infinite one."""
    alone = question("A", ("B", UNSURE), ("B", UNSURE), ("A", SURE))
    easy = question("A", ("A", UNSURE), ("A", UNSURE), ("A", UNSURE), ("B", SURE), ("A", UNSURE))
    assert right_at([easy], 1.0) == 1
    assert fit_temperature([alone, easy, easy, easy]) <= 1.0


def test_the_margin_decides_between_equals() -> None:
    sure_is_right = question("A", ("A", SURE), ("A", SURE), ("B", UNSURE))
    sure_is_wrong = question("A", ("A", UNSURE), ("A", UNSURE), ("A", UNSURE), ("B", SURE))
    assert fit_temperature([sure_is_right]) == GRID[0]
    assert fit_temperature([sure_is_wrong]) == math.inf


def test_the_higher_temperature_wins_if_nothing_else_differs() -> None:
    assert fit_temperature([question("A", ("A", -1.0), ("A", -2.0))]) == math.inf
    assert fit_temperature([question("A")]) == math.inf


def test_sets_are_right_only_as_a_whole() -> None:
    """ "A" is right if one of two right options was asked for, and wrong if both were."""
    part = question("AC", ("A", UNSURE), ("A", UNSURE), ("AC", SURE))
    assert fit_temperature([part], multiple=True) <= 1.0
    assert fit_temperature([part]) == math.inf


def test_no_temperature_is_fitted_on_nothing() -> None:
    with pytest.raises(ValueError, match="no labelled questions"):
        fit_temperature([])


VOTES = st.builds(
    LabelledVote,
    st.sampled_from("AB"),
    st.lists(st.tuples(st.sampled_from("ABC"), st.floats(-6, 0)), max_size=5).map(tuple),
)


@given(st.lists(VOTES, min_size=1, max_size=12))
def test_no_temperature_of_the_grid_has_more_right_answers(questions: list[LabelledVote]) -> None:
    fitted = fit_temperature(questions)
    assert fitted in GRID
    assert right_at(questions, fitted) == max(right_at(questions, t) for t in GRID)


def test_a_job_takes_its_own_temperature_then_the_calibrations() -> None:
    chosen = JobSettings(vote="confidence", vote_temperature=0.5)
    assert starting_temperature(chosen, calibrated=4.0) == 0.5
    assert starting_temperature(JobSettings(vote="confidence"), calibrated=4.0) == 4.0
    assert starting_temperature(JobSettings(vote="confidence")) == 1.0
    assert starting_temperature(JobSettings(vote="weighted")) == 1.0  # the report recounts by it
    assert starting_temperature(JobSettings(), calibrated=4.0) is None


@pytest.mark.parametrize("temperature", [None, 0.25, math.inf])
def test_the_fixed_temperature_survives_start_json(temperature: float | None) -> None:
    start = StartFile(
        started_at="2026-11-27T00:00:00Z",
        model="m",
        digest=None,
        temperature=0.7,
        top_p=1.0,
        max_tokens=9,
        versions={},
        vote_temperature=temperature,
    )
    read = StartFile.model_validate_json(start.model_dump_json())
    settings = as_started(JobSettings(vote="confidence"), read)
    assert settings.vote_temperature == temperature
    assert as_started(settings, None) is settings
