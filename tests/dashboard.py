"""The metrics that the dashboard and the alerts name."""

from __future__ import annotations

import json
import re
from pathlib import Path

_METRIC = re.compile(r"\b(?:quorum_|vllm:)\w+")


def dashboard_metrics(root: Path) -> set[str]:
    text = (root / "services/monitoring/grafana/dashboards/quorum.json").read_text()
    panels = json.loads(text)["panels"]
    return {
        name
        for panel in panels
        for target in panel.get("targets", [])
        for name in _METRIC.findall(target["expr"])
    }


def alert_metrics(root: Path) -> set[str]:
    text = (root / "services/monitoring/alerts.yml").read_text()
    return set(_METRIC.findall("\n".join(re.findall(r"expr: (.*)", text))))
