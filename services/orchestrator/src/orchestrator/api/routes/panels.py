"""The call about panels of voters."""

from __future__ import annotations

from orchestrator.api.access import ServiceDep, guarded_router
from orchestrator.api.panel_views import PanelList, panel_list

router = guarded_router()


@router.get("/panels")
def list_panels(service: ServiceDep) -> PanelList:
    """The panels that a job may name: the published model's, and those of files in PANELS_DIR."""
    return panel_list(service.settings)
