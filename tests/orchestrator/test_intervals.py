import math

import pytest

from orchestrator.jobs.intervals import compare, wilson


@pytest.mark.parametrize(
    ("correct", "total", "low", "high"),
    # Newcombe 1998 (two-sided intervals for the single proportion), table I, method 3
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilsons_interval_has_its_published_values(
    correct: int, total: int, low: float, high: float
) -> None:
    estimate = wilson(correct, total)
    assert (estimate.low, estimate.high) == pytest.approx((low, high), abs=1e-4)


def pairs(both: int, lost: int, gained: int, neither: int) -> tuple[list[bool], list[bool]]:
    first = [True] * (both + lost) + [False] * (gained + neither)
    second = [True] * both + [False] * lost + [True] * gained + [False] * neither
    return first, second


def test_mcnemars_exact_test_has_its_binomial_value() -> None:
    # 2 * P(X <= 2), X ~ Binomial(12, 1/2) = 2 * 79 / 4096
    assert compare(*pairs(20, 2, 10, 5)).p_value == pytest.approx(158 / 4096)
    assert compare(*pairs(5, 0, 0, 5)).p_value == 1.0


def test_mcnemars_exact_test_handles_3000_changed_answers() -> None:
    # the normal approximation with continuity correction: z = (60 - 1) / sqrt(3000)
    approximate = math.erfc(59 / math.sqrt(3000) / math.sqrt(2))
    found = compare(*pairs(0, 1470, 1530, 0)).p_value
    assert found == pytest.approx(approximate, rel=0.01)


def test_the_paired_interval_mirrors_if_the_jobs_are_swapped() -> None:
    first, second = pairs(36, 12, 2, 0)
    there, back = compare(first, second).difference, compare(second, first).difference
    # Newcombe 1998 (paired data), table II, method 10: 36, 12, 2, 0
    assert (-there.value, -there.high, -there.low) == pytest.approx((0.2, 0.0569, 0.3404), abs=1e-4)
    assert (back.low, back.high) == pytest.approx((-there.high, -there.low))


def test_comparing_no_questions_is_an_error() -> None:
    with pytest.raises(ValueError, match="nothing to compare"):
        compare([], [])
