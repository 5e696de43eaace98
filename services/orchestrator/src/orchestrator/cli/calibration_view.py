"""Calibrations, and what a report says of confidence, in the terminal."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Column, Table

from orchestrator.jobs.calibration import CalibrationList, CalibrationSummary
from orchestrator.jobs.confidence_models import ConfidenceReport, Forecast

MOST_COVERAGE_ROWS = 10


def calibration_table(found: CalibrationSummary) -> RenderableType:
    """The calibration's facts, the models that were tried, and how right the chosen one is."""
    facts = Table(show_header=False, box=None)
    rows = {
        "calibration": found.id,
        "from": f"{found.job}: {found.questions} questions with keys in {found.problems} problems, "
        f"{found.right / found.questions:.1%} right",
        "model": found.conditions.model,
        "settings": ", ".join(
            f"{name}={value}" for name, value in found.conditions.settings.items()
        ),
        "chosen": found.model,
        "calibration error": f"{found.calibration_error:.3f} on questions that no fit had seen "
        f"({len(found.bins)} bins); agreement taken for a confidence: {found.agreement_error:.3f}",
        "Brier score": f"{found.brier:.4f}; agreement: {found.agreement_brier:.4f}",
    }
    for name, value in rows.items():
        facts.add_row(name, escape(value))
    models = Table("model", "Brier", "behind", "standard error", "calibration error")
    for score in found.scores:
        models.add_row(
            score.name,
            f"{score.brier:.4f}",
            f"{score.behind:.5f}",
            f"{score.standard_error:.5f}",
            f"{score.calibration_error:.3f}",
        )
    bins = Table("confidence", "right", "95 % interval", "questions")
    for b in found.bins:
        bins.add_row(
            f"{b.confidence:.1%}",
            f"{b.accuracy:.1%}",
            f"{b.low:.1%} to {b.high:.1%}",
            str(b.questions),
        )
    return Group(facts, models, bins)


def calibrations_table(found: CalibrationList) -> Table:
    columns = (Column("calibration", overflow="fold"), Column("job", overflow="fold"))
    table = Table(*columns, "model", "samples", "questions", "chosen", "error", box=None)
    for entry in found.data:
        table.add_row(
            entry.id,
            entry.job,
            escape(entry.conditions.model),
            str(entry.conditions.settings.get("samples")),
            str(entry.questions),
            entry.model,
            f"{entry.calibration_error:.3f}",
        )
    return table


def confidence_rows(found: ConfidenceReport | None) -> dict[str, str | None]:
    """The rows of a report that say how far its answers can be trusted."""
    if found is None:  # a report of an earlier version
        return {}
    used, label, keyed = found.calibration, found.label_next, found.with_keys
    held = found.sets_with_key
    return {
        "confidence": found.note
        if used is None
        else f"from {used.job}, {used.questions} questions; calibration error "
        f"{used.calibration_error:.3f} on questions that it had not seen",
        "shift": "; ".join(found.shift_notes) or None,
        "forecast": f"accuracy {_interval(found.forecast)}" if found.forecast else None,
        "with keys": f"accuracy {_interval(keyed)}, from {keyed.keys} keys and {keyed.predictor}; "
        "holds if the questions with keys are a random sample"
        if keyed
        else None,
        "to label": f"{len(label.questions)} questions (in the JSON report) would give about ± "
        f"{label.half_width:.1%}"
        if label
        else None,
        "abstained": None
        if found.abstain_below is None
        else f"{found.abstained} answers with a confidence below {found.abstain_below} left out",
        "sets": ", ".join(f"{count} of {size}" for size, count in found.set_sizes.items())
        + ("" if held is None else f"; {held / sum(found.set_sizes.values()):.1%} hold the key")
        if found.set_sizes
        else None,
    }


def _interval(found: Forecast) -> str:
    return f"{found.value:.1%} (95 % interval {found.low:.1%} to {found.high:.1%})"


def coverage_table(found: ConfidenceReport | None) -> Table | None:
    """Accuracy by the share of questions answered; None without keys or without a calibration."""
    if found is None or not found.reliability:
        return None
    table = Table("answered", "confidence", "accuracy", title="by coverage", title_justify="left")
    step = max(1, len(found.coverage) // MOST_COVERAGE_ROWS)
    for point in [*found.coverage[:-1:step], found.coverage[-1]]:
        accuracy = f"{point.accuracy:.1%} (95 % interval {point.low:.1%} to {point.high:.1%})"
        table.add_row(f"{point.coverage:.1%}", f"from {point.at_least:.1%}", accuracy)
    return table
