"""Whoever can write to Redis can stop jobs, but cannot run code in a worker."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from rq import Callback, Webhook
from rq.job import Job
from rq.serializers import JSONSerializer

from orchestrator.coordination.queueing import ShardJob, make_queue, rq_id
from orchestrator.worker.shards import run_shard
from problem_files import problem_file
from workers import Bench

CALLS = [("os.mkdir", []), ("pathlib.Path.mkdir", []), ("builtins.open", ["w"])]


def test_a_queued_call_of_another_function_is_refused(bench: Bench, tmp_path: Path) -> None:
    made = tmp_path / "made"
    queue = make_queue(bench.redis, "shards-high")
    foreign = [queue.enqueue(function, str(made), *more) for function, more in CALLS]
    job = bench.post(problem_file(1))
    bench.start_worker()
    bench.wait(job)
    assert not made.exists()
    assert [call.get_status(refresh=True) for call in foreign] == ["failed"] * len(CALLS)


def test_a_queued_shard_that_is_not_of_the_job_is_left_alone(bench: Bench) -> None:
    job = bench.post(problem_file(1))
    for shard in (-1, 10**9, "0"):
        asyncio.run(run_shard(bench.settings, bench.store, job.id, shard))  # type: ignore[arg-type]
    assert list((bench.store.directory(job.id) / "shards").iterdir()) == []


def test_callbacks_and_web_addresses_of_a_queued_job_are_dropped(bench: Bench) -> None:
    asked = Callback("builtins.print")
    written = Job.create(
        "orchestrator.worker.shards.answer_shard",
        id="x-0",
        connection=bench.redis,
        serializer=JSONSerializer,
        on_success=asked,
        on_failure=asked,
        on_stopped=asked,
        webhooks=[Webhook("http://127.0.0.1:1/", "finished")],
    )
    written.save()
    found = ShardJob.fetch("x-0", connection=bench.redis, serializer=JSONSerializer)
    assert found.success_callback is None
    assert found.failure_callback is None
    assert found.stopped_callback is None
    assert found.webhooks == []
    assert found.func.__name__ == "answer_shard"


@pytest.mark.parametrize(
    ("field", "value"), [("created_at", "?"), ("status", "?"), ("repeats_left", "?")]
)
def test_an_unreadable_record_in_redis_stops_no_job(bench: Bench, field: str, value: str) -> None:
    job = bench.post(problem_file(1))
    bench.redis.hset(Job.key_for(rq_id(job.id, 0)), field, value)
    assert bench.scheduler.scan() == 1
    assert bench.scheduler.faults == {}
    bench.start_worker()
    bench.wait(job)
