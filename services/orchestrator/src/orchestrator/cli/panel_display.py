"""How `quorum report` shows a panel's voters."""

from __future__ import annotations

from rich.console import RenderableType
from rich.markup import escape
from rich.table import Table

from orchestrator.jobs.report_models import Accuracy, AgainstBest, PanelFigures


def percent(estimate: Accuracy) -> str:
    return f"{estimate.value:.1%} (95 % interval {estimate.low:.1%} to {estimate.high:.1%})"


def panel_tables(panel: PanelFigures) -> list[RenderableType]:
    voters = Table(
        "voter", "weight", "samples", "accuracy", title=f"panel {panel.name}", title_justify="left"
    )
    for voter in panel.voters:
        accuracy = percent(voter.accuracy) if voter.accuracy else ""
        voters.add_row(voter.name, f"{voter.weight:.3g}", str(voter.samples), accuracy)
    pairs = Table("voters", "samples", "equal labels", title_justify="left")
    for pair in panel.agreement:
        equal = "" if pair.equal is None else f"{pair.equal:.1%}"
        pairs.add_row(f"{pair.first}, {pair.second}", str(pair.samples), equal)
    told = [f"{voter.name}: {voter.note}" for voter in panel.voters if voter.note]
    told += [note.text for note in panel.notes]
    against = [_against(panel.against_best)] if panel.against_best else []
    return [voters, pairs, *against, *map(escape, told)]


def _against(found: AgainstBest) -> str:
    return (
        f"the vote against {found.voter}, the best voter on validation rows: "
        f"{found.difference:+.1%} (95 % interval {found.low:+.1%} to {found.high:+.1%}), "
        f"McNemar's exact p = {found.p_value:.3g}"
    )
