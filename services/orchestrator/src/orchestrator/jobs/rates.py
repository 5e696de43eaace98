"""How many questions a second a job answered, over its time."""

from __future__ import annotations

from pydantic import BaseModel

RATE_POINTS = 40


class RatePoint(BaseModel):
    """Questions per second around a time, given in seconds since the first answer."""

    elapsed_s: float
    questions_per_s: float


def rate_points(finished_at: list[float], now_s: float | None) -> list[RatePoint]:
    """Answers per second over `RATE_POINTS` equal spans, from the first answer to `now_s`, or to
    the last answer. Empty for fewer than two answers.
    """
    if len(finished_at) < 2:
        return []
    begin = min(finished_at)
    end = max(max(finished_at), now_s or 0.0)
    span_s = (end - begin) / RATE_POINTS
    if span_s <= 0:
        return []
    counts = [0] * RATE_POINTS
    for moment in finished_at:
        counts[min(int((moment - begin) / span_s), RATE_POINTS - 1)] += 1
    return [
        RatePoint(elapsed_s=round((i + 0.5) * span_s, 3), questions_per_s=round(n / span_s, 4))
        for i, n in enumerate(counts)
    ]
