"""The HTTP API's promises to clients: keys, events, ranges, retries, errors that reveal nothing."""

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx2
import pytest
from fastapi.testclient import TestClient
from pydantic import ValidationError

from orchestrator.api.app import STOP_S, create_app
from orchestrator.api.job_views import JobViews
from orchestrator.jobs import accepting
from orchestrator.local.ports import free_port
from orchestrator.settings import ApiSettings, Settings
from problem_files import problem_file
from stub_server import StubServer
from workers import Bench

LONG = "x" * 200_001


def post(
    api: httpx2.Client, data: bytes, key: str | None = None, **form: object
) -> httpx2.Response:
    fields = {name: str(value) for name, value in form.items()}
    headers = {} if key is None else {"Idempotency-Key": key}
    return api.post("/jobs", files={"file": ("my.jsonl", data)}, data=fields, headers=headers)


@pytest.fixture
def finished(bench: Bench, api: httpx2.Client) -> str:
    """A completed job's id."""
    job_id: str = post(api, problem_file(6)).json()["id"]
    bench.start_worker()
    deadline = time.monotonic() + 60
    while api.get(f"/jobs/{job_id}").json()["status"] != "completed":
        assert time.monotonic() < deadline
        time.sleep(0.1)
    return job_id


def test_the_same_key_file_and_settings_give_one_job(api: httpx2.Client) -> None:
    first = post(api, problem_file(2), "k1", samples=5)
    again = post(api, problem_file(2), "k1", samples=5)
    assert (again.status_code, again.json()["id"]) == (202, first.json()["id"])
    assert post(api, problem_file(2), "k2", samples=5).json()["id"] != first.json()["id"]
    assert len(api.get("/jobs").json()["data"]) == 2


@pytest.mark.parametrize(("problems", "samples"), [(3, 5), (2, 7)])
def test_a_key_is_refused_for_another_file_or_other_settings(
    api: httpx2.Client, problems: int, samples: int
) -> None:
    first = post(api, problem_file(2), "k1", samples=5).json()["id"]
    refused = post(api, problem_file(problems), "k1", samples=samples)
    assert refused.status_code == 422
    assert first in refused.json()["detail"]
    assert len(api.get("/jobs").json()["data"]) == 1


def test_a_deleted_jobs_key_is_free_again(api: httpx2.Client) -> None:
    first = post(api, problem_file(2), "k1").json()["id"]
    api.post(f"/jobs/{first}/cancel")
    api.delete(f"/jobs/{first}")
    assert post(api, problem_file(2), "k1").json()["id"] != first


def read_events(reply: httpx2.Response) -> list[dict[str, str]]:
    blocks = [block for block in reply.text.split("\n\n") if block.strip()]
    return [dict(line.split(": ", 1) for line in block.splitlines()) for block in blocks]


def test_events_follow_a_job_to_its_end_and_then_answer_204(
    bench: Bench, api: httpx2.Client, server: StubServer
) -> None:
    server.latency_s = 0.2
    job_id = post(api, problem_file(20)).json()["id"]
    bench.start_worker()
    reply = api.get(f"/jobs/{job_id}/events", timeout=60)
    assert reply.headers["content-type"].startswith("text/event-stream")
    events = read_events(reply)
    assert [event["event"] for event in events] == ["progress"] * (len(events) - 1) + ["end"]
    assert len({event["id"] for event in events}) == len(events) > 2
    jobs = [json.loads(event["data"]) for event in events]
    counts = [job["request_counts"]["completed"] for job in jobs]
    assert counts == sorted(counts)
    assert (jobs[-1]["status"], counts[-1]) == ("completed", 40)
    running = [job for job in jobs if job["status"] == "in_progress" and job["note"] is None]
    moving = [job for job in running if job["questions_per_s"] is not None]
    assert moving
    assert all(job["eta_s"] >= 0 and job["samples_per_s"] > 0 for job in moving)

    end = {"Last-Event-ID": events[-1]["id"]}
    assert api.get(f"/jobs/{job_id}/events", headers=end).status_code == 204
    earlier = {"Last-Event-ID": events[0]["id"]}
    again = read_events(api.get(f"/jobs/{job_id}/events", headers=earlier))
    assert [event["event"] for event in again] == ["end"]
    assert api.get("/jobs/job_20260101000000000_00000000/events").status_code == 404


def test_every_call_but_health_and_login_needs_the_key(
    settings: Settings,
) -> None:
    with_key = settings.model_copy(update={"api_key": "s3cret"})
    with TestClient(create_app(with_key), base_url="http://localhost") as client:
        paths = client.get("/openapi.json").json()["paths"]
        for path, calls in paths.items():
            for method in calls:
                url = path.replace("{job_id}", "job_20260101000000000_00000000")
                for headers in ({}, {"Authorization": "Bearer wrong"}):
                    reply = client.request(method, url, headers=headers)
                    if path in ("/healthz", "/readyz", "/metrics", "/session"):
                        assert reply.status_code in (200, 204, 422, 503)
                    else:
                        assert reply.status_code == 401, (method, path)
                        assert reply.headers["www-authenticate"] == "Bearer"
        right = {"Authorization": "Bearer s3cret"}
        assert client.get("/jobs", headers=right).status_code == 200


@pytest.mark.parametrize(
    ("values", "is_open"),
    [
        ({"api_host": "0.0.0.0"}, True),
        ({"api_host": "0.0.0.0", "api_published_on": "192.0.2.7"}, True),
        ({"api_host": "0.0.0.0", "api_key": "k"}, False),
        ({"api_host": "0.0.0.0", "api_published_on": "127.0.0.1"}, False),
        ({"api_host": "::1"}, False),
        ({"api_host": "localhost"}, False),
    ],
)
def test_beyond_the_loopback_the_api_starts_only_with_a_key(
    values: dict[str, str], is_open: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("API_KEY", raising=False)
    if is_open:
        with pytest.raises(ValidationError, match="set API_KEY"):
            ApiSettings.model_validate(values)
    else:
        ApiSettings.model_validate(values)


def test_an_internal_error_reveals_only_its_id(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(views: JobViews, job_id: str) -> None:  # an error that no request can cause
        raise RuntimeError("a secret")

    monkeypatch.setattr(JobViews, "view", fail)
    with TestClient(
        create_app(settings), base_url="http://localhost", raise_server_exceptions=False
    ) as client:
        reply = client.get("/jobs/job_20260101000000000_00000000")
    assert reply.status_code == 500
    assert reply.headers["content-type"] == "application/problem+json"
    assert "secret" not in reply.text
    assert "Traceback" not in reply.text
    assert reply.json()["request_id"]


def test_a_full_volume_refuses_a_file_and_keeps_nothing(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(source: object, target: Path) -> str:  # forced: the volume fills up during the copy
        target.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(accepting, "copy_hashed", full)
    with TestClient(create_app(settings), base_url="http://localhost") as client:
        reply = client.post("/jobs", files={"file": ("f", problem_file(1))})
    assert reply.status_code == 507
    assert "enlarge the volume" in reply.json()["detail"]
    assert list((settings.data_dir / "jobs").iterdir()) == []


def test_a_broken_off_download_can_be_resumed(api: httpx2.Client, finished: str) -> None:
    url = f"/jobs/{finished}/submission"
    whole = api.get(url)
    assert whole.headers["etag"]
    part = api.get(url, headers={"Range": "bytes=10-", "If-Range": whole.headers["etag"]})
    assert part.status_code == 206
    assert whole.content[:10] + part.content == whole.content
    beyond = api.get(url, headers={"Range": f"bytes={len(whole.content)}-"})
    assert beyond.status_code == 416
    assert beyond.headers["content-range"] == f"bytes */{len(whole.content)}"
    wrong = api.get(url, headers={"Range": "bytes=x-"})
    assert wrong.status_code == 400
    for refused in (beyond, wrong):
        assert refused.headers["content-type"] == "application/problem+json"
        assert refused.json()["status"] == refused.status_code
        assert refused.json()["detail"]


def test_every_call_declares_its_errors_in_the_openapi_document(api: httpx2.Client) -> None:
    document = api.get("/openapi.json").json()
    declared = {
        f"{method.upper()} {path}": set(call["responses"])
        for path, calls in document["paths"].items()
        for method, call in calls.items()
    }
    for name, statuses in declared.items():
        if name not in ("GET /healthz", "GET /readyz", "GET /metrics"):
            assert {"401", "500"} <= statuses, name
        if "{job_id}" in name:
            assert "404" in statuses, name
    assert {"202", "413", "422", "507"} <= declared["POST /jobs"]
    assert "409" in declared["POST /jobs/{job_id}/cancel"] & declared["DELETE /jobs/{job_id}"]
    for schema in ("Job", "ProblemDetails"):
        assert document["components"]["schemas"][schema]["examples"]
    errors = document["paths"]["/jobs"]["post"]["responses"]["422"]["content"]
    assert list(errors) == ["application/problem+json"]


def test_the_document_has_the_bounds_of_a_jobs_settings(api: httpx2.Client) -> None:
    document = api.get("/openapi.json").json()
    form = document["components"]["schemas"]["Body_post_job_jobs_post"]["properties"]
    assert (form["samples"]["minimum"], form["samples"]["maximum"]) == (1, 64)
    assert form["temperature"] | {"type": "number", "maximum": 2} == form["temperature"]
    assert form["priority"]["enum"] == ["high", "normal", "low"]
    assert "null" not in json.dumps(form)
    for name in ("Body_post_job_jobs_post", "Body_begin_session_session_post"):
        assert document["components"]["schemas"][name]["additionalProperties"] is False


def test_another_method_is_told_all_that_the_path_takes(api: httpx2.Client) -> None:
    for path, allowed in (
        ("/jobs", "GET, POST"),
        ("/jobs/x", "DELETE, GET"),
        ("/healthz", "GET"),
        ("/docs", "GET"),
    ):
        reply = api.request("PATCH", path)
        assert reply.status_code == 405
        assert set(reply.headers["allow"].split(", ")) - {"HEAD"} == set(allowed.split(", "))


def test_stopping_does_not_wait_for_clients_that_follow_a_job(
    settings: Settings, bench: Bench
) -> None:
    job = bench.post(problem_file(1))  # without a worker it does not change
    port = free_port()
    values = {**settings.model_dump(mode="json"), "api_port": port}
    environment = {key.upper(): str(value) for key, value in values.items() if value is not None}
    argv = [sys.executable, "-m", "orchestrator.api"]
    process = subprocess.Popen(argv, env={**os.environ, **environment})
    try:
        with httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            while True:
                try:
                    client.get("/healthz")
                    break
                except httpx2.TransportError:
                    time.sleep(0.1)
            with client.stream("GET", f"/jobs/{job.id}/events") as reply:
                next(reply.iter_lines())
                process.terminate()
                assert process.wait(STOP_S + 10) in (0, -signal.SIGTERM)
    finally:
        process.kill()
        process.wait()


def question(**changed: object) -> dict[str, object]:
    return {"question": "q", "options": ["a", "b"], **changed}


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"problem": LONG, "questions": [question()]}, "200000"),
        ({"problem": "p", "questions": [question()] * 1001}, "1000"),
        ({"problem": "p", "questions": [question(question=LONG)]}, "200000"),
        ({"problem": "p", "questions": [question(options=["a"] * 27)]}, "26"),
    ],
)
def test_rows_beyond_the_limits_are_refused_by_name(
    api: httpx2.Client, row: dict[str, object], reason: str
) -> None:
    reply = post(api, json.dumps({"id": "a", **row}).encode())
    assert reply.status_code == 422
    fault = reply.json()["errors"][0]
    assert fault["line"] == 1
    assert reason in fault["reason"]


def test_an_endless_line_is_refused_before_it_fills_the_memory(api: httpx2.Client) -> None:
    reply = post(api, problem_file(1) + b"x" * (17 << 20))
    assert reply.status_code == 422
    text = "is longer than 16 MiB; write one problem a line"
    assert reply.json()["errors"][0] == {
        "line": 2,
        "unit": "line",
        "place": "",
        "reason": text,
        "reason_message": {"code": "line-too-long", "text": text, "params": {"limit": 16}},
    }


@pytest.mark.parametrize("name", ["../../etc/passwd", "a/b.jsonl", "..", "", "\u202ename"])
def test_a_filename_is_a_name_and_never_a_path(
    api: httpx2.Client, settings: Settings, name: str
) -> None:
    reply = api.post("/jobs", files={"file": (name, problem_file(1))})
    before = {path.name for path in settings.data_dir.parent.iterdir()}
    assert reply.status_code in (202, 422)
    assert before <= {"data", "models"}


def test_logs_name_job_and_request_and_hold_prompts_on_demand(
    bench: Bench, capfd: pytest.CaptureFixture[str]
) -> None:
    logs = {}
    for wanted in (False, True):
        bench.settings = bench.settings.model_copy(update={"log_prompts": wanted})
        job = bench.post(problem_file(1))
        bench.start_worker()
        bench.wait(job)
        bench.stop_workers()
        lines = capfd.readouterr().out.splitlines()
        logs[wanted] = [json.loads(line) for line in lines if line.startswith("{")]
        assert any(job.id in json.dumps(entry) for entry in logs[wanted])
    assert "第0题" not in json.dumps(logs[False], ensure_ascii=False)
    asked = [entry for entry in logs[True] if entry["event"] == "asked"]
    assert {"job", "shard"} <= set(asked[0])
    assert "第0题" in asked[0]["request"]["messages"][-1]["content"]


def test_without_a_published_model_a_client_is_told_to_retry(settings: Settings) -> None:
    unpublished = settings.model_copy(update={"model_contract": "published"})
    with TestClient(create_app(unpublished), base_url="http://localhost") as client:
        reply = client.get("/model")
    assert reply.status_code == 503
    assert int(reply.headers["retry-after"]) > 0
    assert reply.json()["title"] == "Waiting for the model"
    assert reply.json()["type"] == "/problems/waiting-for-model"
