"""What the API shows of panels, and its check that a job's panel can be used."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel

from contract import CodedMessage, coded
from contract.panels import PanelError
from orchestrator.errors import InvalidSettingError
from orchestrator.jobs.records import JobSettings
from orchestrator.jobs.voter_records import ValidationRows
from orchestrator.panels import NamedPanel, VoterSpec, find_panel, panels, samples_fault
from orchestrator.settings import Settings


class VoterView(BaseModel):
    """A voter as its panel names it. None means the job's own value."""

    name: str
    model: str | None
    url: str | None
    weight: float | None
    accuracy: ValidationRows | None

    @classmethod
    def of(cls, voter: VoterSpec) -> Self:
        return cls(
            name=voter.name,
            model=voter.model,
            url=voter.url,
            weight=voter.weight,
            accuracy=ValidationRows.of(voter.accuracy),
        )


class PanelView(BaseModel):
    """A panel that jobs may name. `source` is a file in PANELS_DIR or the published model. `fault`
    says why it cannot be used; then it has no voters.
    """

    name: str
    source: Literal["file", "published"]
    weights: Literal["uniform", "given", "accuracy"] | None
    voters: list[VoterView]
    fault: str | None
    fault_message: CodedMessage | None

    @classmethod
    def of(cls, named: NamedPanel) -> Self:
        panel = named.panel
        return cls(
            name=named.name,
            source=named.source,
            weights=panel.weights if panel else None,
            voters=[VoterView.of(voter) for voter in panel.voters] if panel else [],
            fault=named.fault,
            fault_message=coded(named.fault),
        )


class PanelList(BaseModel):
    data: list[PanelView]


def panel_list(settings: Settings) -> PanelList:
    return PanelList(data=[PanelView.of(named) for named in panels(settings)])


def check_panel(settings: Settings, chosen: JobSettings) -> None:
    """Return if the job names no panel, or one that it can use.

    Raises:
        InvalidSettingError: there is none of that name, or it cannot be used by such a job.
    """
    if chosen.panel is None:
        return
    try:
        panel = find_panel(settings, chosen.panel)
    except PanelError as error:
        raise InvalidSettingError(error.sentence) from error
    if fault := samples_fault(panel, chosen.samples):
        raise InvalidSettingError(fault)
