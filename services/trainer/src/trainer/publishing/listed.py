"""A published model as rows of a table: the model, and below it the members of its panel."""

from __future__ import annotations

from contract.panels import Panel, PanelError, PanelVoter
from contract.published import Published

COLUMNS = ("model", "digest", "current", "made", "base", "GiB", "right")


def rows(model: Published) -> list[tuple[str, ...]]:
    """One row for the model, and one for each voter of its panel."""
    contract = model.contract
    first = (
        contract.model,
        contract.digest,
        "yes" if model.current else "",
        contract.provenance.created,
        contract.provenance.base_model,
        f"{model.size_bytes / 2**30:.2f}",
        "",
    )
    try:
        panel = Panel.load(model.directory)
    except PanelError as error:
        return [first, (f"  {error}", *[""] * (len(COLUMNS) - 1))]
    return [first, *(_voter(voter) for voter in (panel.voters if panel else ()))]


def _voter(voter: PanelVoter) -> tuple[str, ...]:
    right = voter.accuracy
    said = f"{right.right} of {right.total}" if right else "unknown"
    return (f"  {voter.name}", voter.served_as, "", "", "", "", said)
