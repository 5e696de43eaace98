"""/metrics compared with the journals."""

from __future__ import annotations

import time

import httpx2
import pytest
from prometheus_client.parser import text_string_to_metric_families
from redis import Redis
from starlette.responses import JSONResponse, Response

from orchestrator.coordination.heartbeat import TTL_S
from orchestrator.coordination.metering import COUNTS_KEY, FAMILIES, Meter
from orchestrator.jobs.records import JobSettings
from problem_files import problem_file
from stub_server import StubServer
from workers import Bench, kill_session

Key = tuple[str, frozenset[tuple[str, str]]]


def scrape(api: httpx2.Client) -> dict[Key, float]:
    reply = api.get("/metrics")
    assert reply.headers["content-type"].startswith("text/plain; version=")
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(reply.text)
        for sample in family.samples
    }


def key(name: str, **labels: str) -> Key:
    return name, frozenset(labels.items())


def test_counts_are_those_of_the_journals(bench: Bench, api: httpx2.Client) -> None:
    before = scrape(api)
    assert before[key("quorum_questions_total", outcome="voted")] == 0
    job = bench.post(problem_file(30), JobSettings(samples=4, max_resamples=0))
    bench.start_worker()
    bench.wait(job)
    answers = bench.answers(job).values()
    samples = [sample for answer in answers for sample in answer.samples]
    found = scrape(api)
    forced = sum("forced" in answer.flags for answer in answers)
    failed = sum(answer.answer is None for answer in answers)
    assert found[key("quorum_questions_total", outcome="voted")] == 60 - forced - failed
    assert found[key("quorum_questions_total", outcome="forced")] == forced
    assert found[key("quorum_questions_total", outcome="failed")] == failed
    assert found[key("quorum_samples_drawn_total")] == len(samples)
    assert found[key("quorum_samples_saved_total")] == sum(a.samples_saved for a in answers)
    assert found[key("quorum_samples_invalid_total")] == sum(s.label is None for s in samples) > 0
    assert found[key("quorum_ties_total")] == sum("tie" in a.flags for a in answers) > 0
    tokens = sum(sample.tokens for sample in samples)
    assert found[key("quorum_tokens_total", model="stub", kind="completion")] == tokens
    assert found[key("quorum_question_duration_seconds_count")] == 60
    assert found[key("quorum_question_duration_seconds_bucket", le="+Inf")] == 60
    spent = sum(answer.latency_s for answer in answers)
    assert found[key("quorum_question_duration_seconds_sum")] == pytest.approx(spent, rel=1e-6)
    assert found[key("quorum_jobs", status="completed")] == 1
    assert found[key("quorum_requests_in_flight")] == 0
    assert found[key("quorum_workers")] == 1
    assert found[key("quorum_redis_up")] == 1
    path = {"method": "GET", "path": "/metrics", "status": "200"}
    assert found[key("quorum_http_request_duration_seconds_count", **path)] == 1


def test_running_and_waiting_work_is_counted(
    server: StubServer, bench: Bench, api: httpx2.Client
) -> None:
    bench.post(problem_file(40))
    waiting = scrape(api)
    assert waiting[key("quorum_queue_depth", queue="shards-normal")] == 2
    assert waiting[key("quorum_workers")] == 0
    time.sleep(1.1)
    assert scrape(api)[key("quorum_queue_oldest_seconds", queue="shards-normal")] > 1
    assert scrape(api)[key("quorum_job_idle_seconds")] > 1
    server.latency_s = 1.0
    bench.start_worker()
    deadline = time.monotonic() + 20
    while scrape(api)[key("quorum_requests_in_flight")] < 4:  # bench's concurrency
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert scrape(api)[key("quorum_jobs", status="in_progress")] == 1


def test_killed_workers_leave_the_count_within_seconds(bench: Bench, api: httpx2.Client) -> None:
    workers = [bench.start_worker() for _ in range(2)]

    def until_count(count: int) -> None:
        deadline = time.monotonic() + TTL_S + 30
        while scrape(api)[key("quorum_workers")] != count:
            assert time.monotonic() < deadline
            time.sleep(0.2)

    until_count(2)
    workers[0].terminate()
    workers[0].wait()
    until_count(1)
    kill_session(workers[1])
    job = api.post("/jobs", files={"file": ("f", problem_file(1))}).json()["id"]
    until_count(0)
    deadline = time.monotonic() + 15
    while "none is running" not in (api.get(f"/jobs/{job}").json()["note"] or ""):
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_requests_that_are_repeated_are_counted(
    server: StubServer, bench: Bench, api: httpx2.Client
) -> None:
    left = [6]

    def fail(body: object) -> Response | None:
        left[0] -= 1
        return JSONResponse({"error": "busy"}, 503) if left[0] >= 0 else None

    server.fail = fail
    job = bench.post(problem_file(1, 1))
    bench.start_worker()
    bench.wait(job)
    # the client repeats a request twice before it counts as repeated
    assert scrape(api)[key("quorum_request_retries_total")] >= 1


def test_metrics_report_an_absent_redis_without_an_error(
    bench: Bench, api: httpx2.Client, settings: object
) -> None:
    bench.redis.set(COUNTS_KEY, "not a hash")  # like an absent Redis: every command fails
    found = scrape(api)
    assert found[key("quorum_redis_up")] == 0
    assert key("quorum_volume_free_bytes") in found


def test_invented_methods_make_no_new_series(api: httpx2.Client) -> None:
    for number in range(50):
        assert api.request(f"METHOD{number}", "/jobs").status_code in (401, 405)
    assert "METHOD" not in api.get("/metrics").text
    other = {"method": "other", "path": "/jobs", "status": "405"}
    assert scrape(api)[key("quorum_http_request_duration_seconds_count", **other)] == 50


def test_counts_that_cannot_be_flushed_are_flushed_later(redis_url: str) -> None:
    meter = Meter()
    meter.add("quorum_ties")
    meter.observe("quorum_request_duration_seconds", 0.3)
    connection = Redis.from_url(redis_url)
    connection.set(COUNTS_KEY, "in the way")
    with pytest.raises(Exception, match="WRONGTYPE"):
        meter.flush(connection, "p")
    connection.delete(COUNTS_KEY)
    meter.add("quorum_ties", by=2)
    meter.flush(connection, "p")
    meter.flush(connection, "p")
    held = {k.decode(): float(v) for k, v in connection.hgetall(COUNTS_KEY).items()}  # type: ignore[union-attr]
    assert held['["quorum_ties"]'] == 3
    assert held['["quorum_request_duration_seconds", "2"]'] == 1


def test_metric_names_follow_the_conventions() -> None:
    for name, family in FAMILIES.items():
        assert name.startswith("quorum_")
        assert not name.endswith("_total")  # the exposition adds it
        assert bool(family.buckets) == name.endswith("_seconds")
        assert list(family.buckets) == sorted(family.buckets)
