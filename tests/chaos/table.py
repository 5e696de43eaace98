"""The results of all runs as a table: a row a fault, and one for pairs."""

from __future__ import annotations

from collections.abc import Iterable

from chaos.faults import FAULTS
from chaos.runs import Outcome

HEADS = (
    "fault",
    "runs",
    "failed",
    "answers lost",
    "samples drawn twice",
    "longest recovery, s",
    "longest wait for a note, s",
)
PAIRS = "two faults in one job"
ROWS = {fault.name: fault.row or fault.name for fault in FAULTS}


def table(outcomes: list[Outcome]) -> str:
    by_row: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        row = ROWS[outcome.faults[0]] if len(outcome.faults) == 1 else PAIRS
        by_row.setdefault(row, []).append(outcome)
    order = [*dict.fromkeys(ROWS.values()), PAIRS]
    rows = [_row(name, by_row[name]) for name in order if name in by_row]
    lines = [HEADS, ["---"] * len(HEADS), *rows, _row("**all**", outcomes)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _row(name: str, outcomes: list[Outcome]) -> list[str]:
    return [
        name,
        str(len(outcomes)),
        str(sum(bool(outcome.complaints) for outcome in outcomes)),
        str(sum(outcome.lost for outcome in outcomes)),
        str(sum(outcome.doubled for outcome in outcomes)),
        _longest(outcome.recovery_s for outcome in outcomes),
        _longest(outcome.note_s for outcome in outcomes),
    ]


def _longest(values: Iterable[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{max(known):.1f}" if known else "-"


def summary(outcomes: list[Outcome]) -> str:
    failed = sum(bool(outcome.complaints) for outcome in outcomes)
    pairs = sum(len(outcome.faults) > 1 for outcome in outcomes)
    missed = sum(outcome.missed for outcome in outcomes)
    said = (
        f"{len(outcomes) - pairs} runs with one fault and {pairs} with two: "
        f"{len(outcomes) - failed} whole, {failed} failed."
    )
    if missed:
        said += f" {missed} faults found nothing to strike, because the job had ended."
    return said
