"""The published models over HTTP: their training, and the return to an earlier one."""

from __future__ import annotations

import json
from pathlib import Path

import httpx2
import pytest

from contract import CONTRACT_FILE
from orchestrator.settings import Settings


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"model_name": "m", "model_contract": "published"})


def test_models_are_listed_newest_first_with_the_current_one(
    two_models: Path, api: httpx2.Client
) -> None:
    listed = api.get("/models").json()["data"]
    assert [(model["digest"], model["current"]) for model in listed] == [
        ("bbb2", True),
        ("aaa1", False),
    ]
    assert all(model["size_bytes"] > 1000 for model in listed)


def test_a_model_is_shown_with_its_training_records(two_models: Path, api: httpx2.Client) -> None:
    found = api.get("/models/bbb2").json()
    assert [entry["loss"] for entry in found["metrics"]] == [2.0, 1.0]
    assert found["data"] == {"trained": 7, "keys_read": {}, "keys_trained": {}}
    assert found["verification"] is None
    assert found["contract"] == json.loads((two_models / "bbb2" / CONTRACT_FILE).read_text())
    older = api.get("/models/aaa1").json()
    assert (older["metrics"], older["data"]) == ([], None)
    for digest in ("ccc3", "current"):
        refused = api.get(f"/models/{digest}")
        assert refused.status_code == 404
        assert digest in refused.json()["detail"]


def test_an_earlier_model_can_be_made_current_and_is_asked_for(
    two_models: Path, api: httpx2.Client
) -> None:
    assert api.get("/model").json()["digest"] == "bbb2"
    listed = api.post("/models/aaa1/current").json()["data"]
    assert [model["current"] for model in listed] == [False, True]
    assert (two_models / "current").readlink() == Path("aaa1")
    assert api.get("/model").json()["digest"] == "aaa1"


def test_without_a_published_model_the_list_is_empty(
    settings: Settings, api: httpx2.Client
) -> None:
    assert api.get("/models").json()["data"] == []
    assert api.get("/model").status_code == 503
