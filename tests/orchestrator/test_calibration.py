"""Calibrations made of ended jobs over HTTP, and jobs that use them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx2
import pytest
from typer.testing import CliRunner

from calibrated_jobs import ended_job, started
from orchestrator.cli.commands import app
from orchestrator.jobs.calibration import Conditions
from orchestrator.jobs.calibrations import FEWEST_QUESTIONS, Calibrations
from orchestrator.jobs.records import JobSettings
from orchestrator.jobs.store import JobStore
from orchestrator.settings import Settings


@pytest.fixture
def store(settings: Settings) -> JobStore:
    return JobStore(settings.data_dir)


def test_a_job_with_keys_gives_a_calibration(
    api: httpx2.Client, store: JobStore, settings: Settings
) -> None:
    job = ended_job(store, settings)
    reply = api.post(f"/jobs/{job.id}/calibrate")
    assert reply.status_code == 201, reply.text
    made = reply.json()
    assert (made["job"], made["questions"], made["problems"]) == (job.id, 300, 150)
    assert made["data_sha256"] == job.sha256
    assert made["calibration_error"] < made["agreement_error"]
    assert [score["name"] for score in made["scores"]] == ["dirichlet", "isotonic", "logistic"]
    assert sum(b["questions"] for b in made["bins"]) == 300
    conditions = made["conditions"]
    assert (conditions["model"], conditions["url"]) == ("m", settings.inference_url)
    assert conditions["settings"]["samples"] == 3
    assert conditions["settings"]["temperature"] == 0.5
    assert api.get("/calibrations").json() == {"data": [made]}


def test_too_few_questions_are_refused_with_their_number(
    api: httpx2.Client, store: JobStore, settings: Settings
) -> None:
    job = ended_job(store, settings, FEWEST_QUESTIONS // 2 - 1)
    reply = api.post(f"/jobs/{job.id}/calibrate")
    assert reply.status_code == 409
    assert (
        "has 198 answered questions with a key; a calibration needs 200" in reply.json()["detail"]
    )


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"keyed": False}, "has 0 answered questions with a key"),
        ({"status": "cancelled"}, "it was cancelled"),
        ({"start": {"url": None}}, "did not keep the address of its model"),
    ],
)
def test_a_job_that_cannot_be_used_is_refused_with_the_reason(
    api: httpx2.Client, store: JobStore, settings: Settings, changes: dict[str, Any], said: str
) -> None:
    if "start" in changes:
        changes = changes | {"start": started(settings, **changes["start"])}
    reply = api.post(f"/jobs/{ended_job(store, settings, **changes).id}/calibrate")
    assert reply.status_code == 409
    assert said in reply.json()["detail"]


def test_a_job_that_runs_is_refused(
    api: httpx2.Client, store: JobStore, settings: Settings
) -> None:
    job = ended_job(store, settings)
    (store.directory(job.id) / "end.json").unlink()
    assert "it has not ended" in api.post(f"/jobs/{job.id}/calibrate").json()["detail"]
    assert api.post("/jobs/job_20261127000000000_00000000/calibrate").status_code == 404


def test_a_damaged_calibration_is_left_out(store: JobStore, settings: Settings) -> None:
    calibrations = Calibrations(settings.data_dir)
    made = calibrations.make(store, ended_job(store, settings))
    (settings.data_dir / "calibrations" / "cal_9.json").write_text("{")
    assert [found.id for found in calibrations.all()] == [made.id]


@pytest.mark.parametrize(
    ("name", "value", "holds"),
    [
        ("seed", 9, True),
        ("submission_format", "csv", True),
        ("samples", 5, False),
        ("early_stop", False, False),
        ("permute_options", True, False),
        ("vote", "weighted", False),
    ],
)
def test_a_calibration_holds_for_the_settings_that_matter(
    store: JobStore, settings: Settings, name: str, value: object, *, holds: bool
) -> None:
    calibrations = Calibrations(settings.data_dir)
    made = calibrations.make(store, ended_job(store, settings))
    other = Conditions.of(JobSettings.model_validate({name: value}), started(settings))
    assert (calibrations.holding_for(other) == made) is holds


@pytest.mark.parametrize(
    "changed", [{"url": "http://elsewhere/v1"}, {"model": "n"}, {"temperature": 0.7}]
)
def test_a_calibration_holds_for_one_model_asked_one_way(
    store: JobStore, settings: Settings, changed: dict[str, Any]
) -> None:
    calibrations = Calibrations(settings.data_dir)
    calibrations.make(store, ended_job(store, settings))
    other = Conditions.of(JobSettings(), started(settings, **changed))
    assert calibrations.holding_for(other) is None


def test_published_weights_are_the_same_at_any_address(store: JobStore, settings: Settings) -> None:
    calibrations = Calibrations(settings.data_dir)
    made = calibrations.make(
        store, ended_job(store, settings, start=started(settings, digest="aaa1"))
    )
    moved = Conditions.of(JobSettings(), started(settings, digest="aaa1", url="http://b/v1"))
    assert calibrations.holding_for(moved) == made
    others = Conditions.of(JobSettings(), started(settings, digest="bbb2"))
    assert calibrations.holding_for(others) is None


def test_quorum_calibrate_shows_what_was_learned(
    api: httpx2.Client, store: JobStore, settings: Settings, tmp_path: Path
) -> None:
    job = ended_job(store, settings)
    url = str(api.base_url)
    told = CliRunner().invoke(app, ["--url", url, "calibrate", job.id])
    assert told.exit_code == 0, told.output
    assert "300 questions with keys in 150 problems" in " ".join(told.output.split())
    listed = CliRunner().invoke(app, ["--url", url, "calibrations", "--json"])
    assert json.loads(listed.stdout.splitlines()[-1])["data"][0]["job"] == job.id
