"""The HTTP API over a real server, a real Redis and real files."""

import time
from pathlib import Path

import httpx2
import pytest

from orchestrator.api.app import create_app
from orchestrator.settings import Settings
from problem_files import problem_file
from stub_server import StubServer
from workers import Bench


def post(api: httpx2.Client, data: bytes, **form: object) -> httpx2.Response:
    fields = {key: str(value) for key, value in form.items()}
    return api.post("/jobs", files={"file": ("my.jsonl", data)}, data=fields)


def test_a_posted_file_becomes_a_job_with_its_address(api: httpx2.Client) -> None:
    reply = post(api, problem_file(3), samples=5, seed=7)
    assert reply.status_code == 202
    job = reply.json()
    assert reply.headers["location"] == f"/jobs/{job['id']}"
    assert job["status"] == "in_progress"
    assert job["request_counts"] == {"total": 6, "completed": 0, "failed": 0}
    assert (job["filename"], job["settings"]["samples"], job["settings"]["seed"]) == (
        "my.jsonl",
        5,
        7,
    )
    assert api.get(reply.headers["location"]).json()["id"] == job["id"]


BROKEN = [
    (b'{"id": "a", "problem": "p"', 1, "not JSON"),
    (b'{"id": "a", "problem": "p", "questions": [{"question": "q"}]}', 1, "options"),
    (problem_file(1).replace(b'"answer": "A"', b'"answer": "C"'), 1, "must be one of A, B"),
    (problem_file(1) * 2, 2, "ids must differ"),
    (b"", 1, "empty"),
    (problem_file(1).decode().encode("gbk"), 1, "encoding=gbk"),
]


@pytest.mark.parametrize(("data", "line", "reason"), BROKEN)
def test_a_faulty_file_is_refused_by_line_and_leaves_no_job(
    api: httpx2.Client, settings: Settings, data: bytes, line: int, reason: str
) -> None:
    reply = post(api, data)
    assert reply.status_code == 422
    assert reply.headers["content-type"] == "application/problem+json"
    details = reply.json()
    assert details["error_count"] >= 1
    assert details["stopped"] is False
    assert details["errors"][0]["line"] == line
    assert reason in details["errors"][0]["reason"] + details["errors"][0]["place"]
    assert api.get("/jobs").json() == {"object": "list", "data": [], "has_more": False}
    jobs = settings.data_dir / "jobs"
    assert not jobs.exists() or list(jobs.iterdir()) == []


@pytest.mark.parametrize(
    ("form", "named"),
    [
        ({"samples": 0}, "samples"),
        ({"samples": 65}, "samples"),
        ({"samples": "many"}, "samples"),
        ({"temperature": 3}, "temperature"),
        ({"top_p": 0}, "top_p"),
        ({"submission_format": "xml"}, "submission_format"),
        ({"seed": -1}, "seed"),
        ({"vote": "confidence", "vote_temperature": 0}, "vote_temperature"),
        ({"vote": "confidence", "vote_temperature": 101}, "vote_temperature"),
        ({"vote": "weighted", "vote_temperature": 2}, "vote_temperature: needs vote=confidence"),
        ({"vote_temperature": 1}, "this job has vote=plurality"),
    ],
)
def test_a_setting_out_of_range_is_refused_by_name(
    api: httpx2.Client, form: dict[str, object], named: str
) -> None:
    reply = post(api, problem_file(1), **form)
    assert reply.status_code == 422
    assert named in reply.json()["detail"]
    assert api.get("/jobs").json()["data"] == []


def test_a_request_without_a_file_says_so(api: httpx2.Client) -> None:
    reply = api.post("/jobs", data={"samples": "3"})
    assert reply.status_code == 422
    assert "file" in reply.json()["detail"]


def test_jobs_are_listed_newest_first_in_pages(api: httpx2.Client) -> None:
    ids = [post(api, problem_file(1)).json()["id"] for _ in range(3)][::-1]
    first = api.get("/jobs", params={"limit": 2}).json()
    assert ([job["id"] for job in first["data"]], first["has_more"]) == (ids[:2], True)
    rest = api.get("/jobs", params={"limit": 2, "after": ids[1]}).json()
    assert ([job["id"] for job in rest["data"]], rest["has_more"]) == (ids[2:], False)


@pytest.mark.parametrize("what", ["submission", "answers", "errors"])
def test_results_of_an_unfinished_job_answer_409(api: httpx2.Client, what: str) -> None:
    job = post(api, problem_file(1)).json()
    reply = api.get(f"/jobs/{job['id']}/{what}")
    assert reply.status_code == 409
    assert "0 of 2 questions are done" in reply.json()["detail"]


@pytest.mark.parametrize("job_id", ["nothing", "...", "job_20260101000000000_00000000"])
def test_an_unknown_job_answers_404(api: httpx2.Client, job_id: str) -> None:
    assert api.get(f"/jobs/{job_id}").status_code == 404


def test_readiness_names_what_is_missing(api: httpx2.Client, server: StubServer) -> None:
    assert api.get("/healthz").json() == {"status": "ok"}
    deadline = time.monotonic() + 15
    while api.get("/readyz").status_code != 200:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    server.stop()
    while (reply := api.get("/readyz")).status_code != 503:
        assert time.monotonic() < deadline + 15
        time.sleep(0.1)
    assert reply.json()["redis"] == reply.json()["volume"] == "ok"
    assert "does not answer" in reply.json()["model"]


def test_a_job_that_waits_for_a_worker_says_so(api: httpx2.Client) -> None:
    job = post(api, problem_file(1)).json()
    deadline = time.monotonic() + 15
    while "none is running" not in (api.get(f"/jobs/{job['id']}").json()["note"] or ""):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_job_waiting_for_the_model_says_so_without_an_eta(
    api: httpx2.Client, server: StubServer, bench: Bench
) -> None:
    bench.start_worker()
    server.stop()
    job = post(api, problem_file(1)).json()
    deadline = time.monotonic() + 15
    while "does not answer" not in ((found := api.get(f"/jobs/{job['id']}").json())["note"] or ""):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert found["eta_s"] is None


def test_a_file_over_the_limit_is_refused(settings: Settings, tmp_path: Path) -> None:
    small = settings.model_copy(update={"max_upload_mib": 1})
    from fastapi.testclient import TestClient

    with TestClient(create_app(small), base_url="http://localhost") as client:
        reply = client.post("/jobs", files={"file": ("f", b"x" * 2**21)})
    assert reply.status_code == 413
