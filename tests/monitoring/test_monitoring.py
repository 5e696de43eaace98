"""Prometheus's own tool checks configuration and alerts; dashboard and alerts name real metrics."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import httpx2
from prometheus_client.parser import text_string_to_metric_families

from dashboard import alert_metrics, dashboard_metrics
from problem_files import problem_file
from workers import Bench


def promtool(root: Path, *arguments: str, given: str | None = None) -> str:
    path = shutil.which("promtool")
    assert path, "the monitoring tests need promtool (apt-get install prometheus)"
    argv = [path, *arguments]
    done = subprocess.run(argv, cwd=root, input=given, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_prometheus_accepts_configuration_and_rules(root: Path) -> None:
    said = promtool(root, "check", "config", "services/monitoring/prometheus.yml")
    assert "7 rules found" in said


def test_each_alert_fires_when_it_should_and_not_before(root: Path) -> None:
    promtool(root, "test", "rules", "tests/monitoring/alerts.yml")
    alerts = re.findall(r"alert: (\w+)", (root / "services/monitoring/alerts.yml").read_text())
    tested = (root / "tests/monitoring/alerts.yml").read_text()
    assert [name for name in alerts if f'alertname="{name}"' not in tested] == []


def test_the_apis_metrics_are_well_formed_and_complete(
    root: Path, bench: Bench, api: httpx2.Client
) -> None:
    job = bench.post(problem_file(2))
    bench.start_worker()
    bench.wait(job)
    api.get(f"/jobs/{job.id}")
    text = api.get("/metrics").text
    promtool(root, "check", "metrics", given=text)
    given = {s.name for family in text_string_to_metric_families(text) for s in family.samples}
    named = dashboard_metrics(root) | alert_metrics(root)
    assert len(named) > 20
    assert {name for name in named if name.startswith("quorum_")} - given == set()


def test_grafana_is_configured_to_show_the_dashboard(root: Path) -> None:
    folder = root / "services" / "monitoring" / "grafana"
    dashboard = json.loads((folder / "dashboards" / "quorum.json").read_text())
    source = re.search(r"uid: (\w+)", (folder / "datasource.yml").read_text())
    assert source is not None
    panels = [panel for panel in dashboard["panels"] if panel["type"] != "row"]
    assert {panel["datasource"]["uid"] for panel in panels} == {source[1]}
    taken: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells
    compose = (root / "docker-compose.yml").read_text()
    assert "/dashboards/quorum.json" in compose
