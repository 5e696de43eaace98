"""Shards on a real Redis and real workers; the model server is a deterministic stub."""

import io
import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fastapi.responses import JSONResponse, Response

from contracts import make_contract
from orchestrator.coordination.leases import lease_key
from orchestrator.coordination.waiting import read_waits
from orchestrator.jobs.journal import read_journal
from orchestrator.jobs.locks import lockable
from orchestrator.jobs.records import Answer, JobSettings
from orchestrator.jobs.store import JobStore
from orchestrator.settings import Settings
from problem_files import problem_file
from strange_replies import UNUSABLE, USABLE
from stub_server import StubServer
from workers import Bench, kill_session, until

IN_FLIGHT = 4  # the bench's CONCURRENCY


def test_a_job_ends_with_all_answers_in_the_order_posted(bench: Bench) -> None:
    data = problem_file(20)
    job = bench.post(data)
    bench.start_worker()
    bench.start_worker()
    bench.wait(job)
    end = bench.store.end(job.id)
    assert end is not None
    assert end.status == "completed"
    posted = [json.loads(line) for line in data.splitlines()]
    rows = [json.loads(line) for line in bench.read(job, "submission.jsonl").splitlines()]
    assert [row["id"] for row in rows] == [row["id"] for row in posted]
    assert all(row["source"] == given["source"] for row, given in zip(rows, posted, strict=True))
    assert all(q["answer"] in ("A", "B") for row in rows for q in row["questions"])
    answers = [json.loads(line) for line in bench.read(job, "answers.jsonl").splitlines()]
    assert [(a["id"], a["index"]) for a in answers] == [
        (f"p{i}", j) for i in range(20) for j in (0, 1)
    ]
    assert bench.read(job, "problems.jsonl") == data


def test_a_killed_worker_loses_and_repeats_no_answer(bench: Bench, server: StubServer) -> None:
    data = problem_file(40)
    undisturbed = bench.post(data)
    bench.start_worker()
    bench.wait(undisturbed)
    kill_session(bench.workers[0])

    server.latency_s = 0.05
    disturbed = bench.post(data)
    victim = bench.start_worker()
    bench.wait_for_answers(disturbed, 20)
    kill_session(victim)
    before = bench.answers(disturbed)
    kept = {sample.seed for sample in bench.drawn(disturbed)}
    server.samples.clear()
    server.latency_s = 0.0
    bench.redis.flushall()  # the queue and the leases are lost with it
    bench.start_worker()
    bench.wait(disturbed, scan=True)
    assert bench.read(disturbed, "submission.jsonl") == bench.read(undisturbed, "submission.jsonl")
    journals = [bench.store.journal(disturbed.id, shard) for shard in range(len(disturbed.shards))]
    lines = [record for path in journals for record in read_journal(path)]
    assert sum(isinstance(record, Answer) for record in lines) == disturbed.questions
    asked_again = {seed for _, seed in server.samples}
    assert not asked_again & kept
    assert not asked_again & {
        sample.seed for answer in before.values() for sample in answer.samples
    }


def test_a_worker_killed_between_rounds_loses_no_sample(bench: Bench, server: StubServer) -> None:
    data = problem_file(4)
    undisturbed = bench.post(data, JobSettings(samples=5))
    bench.start_worker()
    bench.wait(undisturbed)
    kill_session(bench.workers[0])

    def hang_from_the_second_round_on(body: dict[str, Any]) -> None:
        server.latency_s = 60.0 if body["n"] < 3 else 0.0

    server.fail = hang_from_the_second_round_on
    disturbed = bench.post(data, JobSettings(samples=5))
    victim = bench.start_worker()
    deadline = time.monotonic() + 60
    while server.in_flight < IN_FLIGHT:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    kill_session(victim)
    before = bench.answers(disturbed)
    kept = {sample.seed for sample in bench.drawn(disturbed)}
    assert len(kept) >= 3 * IN_FLIGHT
    server.fail, server.latency_s = lambda body: None, 0.0
    while server.in_flight:
        time.sleep(0.1)
    server.samples.clear()
    bench.redis.flushall()
    bench.start_worker()
    bench.wait(disturbed, scan=True)
    asked_again = {seed for _, seed in server.samples}
    assert not asked_again & kept
    after = bench.answers(disturbed)
    assert all(after[key] == answer for key, answer in before.items())
    for key, answer in bench.answers(undisturbed).items():
        assert (after[key].samples, after[key].tally) == (answer.samples, answer.tally)
    assert bench.read(disturbed, "submission.jsonl") == bench.read(undisturbed, "submission.jsonl")


def test_a_killed_workers_shard_is_enqueued_by_the_next_scan(
    bench: Bench, server: StubServer
) -> None:
    server.latency_s = 0.2
    job = bench.post(problem_file(4))
    victim = bench.start_worker()
    bench.wait_for_answers(job, 1)
    assert bench.scheduler.scan() == 0
    kill_session(victim)
    journal = bench.store.journal(job.id, 0)
    with lockable(journal) as lock:
        until(lock.take_now)  # its work horse takes a moment to die
    assert bench.scheduler.scan() == 1
    assert bench.scheduler.recoveries == 1
    bench.start_worker()
    bench.wait(job)
    assert len(bench.answers(job)) == job.questions


def test_another_worker_finishes_the_job_of_a_dead_one(bench: Bench, server: StubServer) -> None:
    job = bench.post(problem_file(2))
    finishing = lease_key(job.id, "finish")
    with lockable(bench.store.rows(job.id)) as lock:  # not taken: a dead one's lock is free
        bench.redis.set(finishing, f"0123456789abcdef@{lock.place()}", ex=600)
    bench.start_worker()
    bench.wait(job)
    assert not bench.redis.exists(finishing)


def test_a_second_worker_leaves_a_leased_shard_alone(bench: Bench, server: StubServer) -> None:
    job = bench.post(problem_file(2))
    bench.redis.set(lease_key(job.id, 0), "someone else", ex=60)
    bench.start_worker()
    deadline = time.monotonic() + 30
    while bench.queued() > 0:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    time.sleep(1)
    assert server.requests == []
    assert bench.store.end(job.id) is None


def test_an_unanswered_question_fails_the_job_and_is_listed(
    bench: Bench, server: StubServer
) -> None:
    def refuse(body: dict[str, object]) -> JSONResponse | None:
        messages = json.dumps(body["messages"], ensure_ascii=False)
        return JSONResponse({"message": "too long"}, 400) if "第1题" in messages else None

    server.fail = refuse
    job = bench.post(problem_file(3))
    bench.start_worker()
    bench.wait(job)
    end = bench.store.end(job.id)
    assert end is not None
    assert (end.status, end.error) == (
        "failed",
        "2 of 6 questions have no answer; errors.jsonl says why",
    )
    errors = [json.loads(line) for line in bench.read(job, "errors.jsonl").splitlines()]
    assert [(error["id"], error["index"]) for error in errors] == [("p1", 0), ("p1", 1)]
    assert not (bench.store.directory(job.id) / "submission.jsonl").exists()

    partial = bench.post(problem_file(3), JobSettings(allow_partial=True))
    bench.wait(partial)
    rows = [json.loads(line) for line in bench.read(partial, "submission.jsonl").splitlines()]
    assert [question["answer"] for question in rows[1]["questions"]] == [None, None]
    assert all(question["answer"] for question in rows[0]["questions"] + rows[2]["questions"])


def by_question(bodies: dict[str, bytes]) -> Callable[[dict[str, Any]], Response | None]:
    """One body for each problem of a file, in order; other requests get a normal reply."""
    rest = list(bodies.values())

    def reply(body: dict[str, Any]) -> Response | None:
        asked = re.search(r"第(\d+)题", json.dumps(body["messages"], ensure_ascii=False))
        number = int(asked[1]) if asked else len(rest)
        return Response(rest[number]) if number < len(rest) else None

    return reply


def test_no_strange_reply_ends_a_job(settings: Settings, server: StubServer) -> None:
    limits = {"give_up_tries": 2, "give_up_after_s": 0, "concurrency": 64}
    bench = Bench(settings.model_copy(update=limits))
    bodies = USABLE | {kind: body for kind, (body, _) in UNUSABLE.items()}
    server.fail = by_question(bodies)
    job = bench.post(problem_file(len(bodies) + 1, 1))
    try:
        bench.start_worker()
        bench.wait(job)
        answers = {int(key[0][1:]): answer for key, answer in bench.answers(job).items()}
        errors = [json.loads(line) for line in bench.read(job, "errors.jsonl").splitlines()]
        assert [answers[i].answer for i in range(len(USABLE))] == ["A"] * len(USABLE)
        failed = dict(zip(UNUSABLE, errors, strict=True))
        for kind, (_, words) in UNUSABLE.items():
            assert words in failed[kind]["error"], kind
        assert answers[len(bodies)].answer

        server.fail = lambda body: None
        bench.store.resume(job.id)
        bench.scheduler.see_to(job)
        bench.wait(job)
        end = bench.store.end(job.id)
        assert end is not None
        assert end.status == "completed"
    finally:
        bench.stop_workers()


def test_an_error_in_a_shard_makes_its_job_wait_and_not_fail(bench: Bench) -> None:
    job = bench.post(problem_file(1))
    in_the_way = bench.store.journal(job.id, 0)
    in_the_way.mkdir()
    bench.start_worker()
    until(lambda: job.id in read_waits(bench.redis))
    assert str(in_the_way) in read_waits(bench.redis)[job.id]
    assert bench.store.end(job.id) is None
    in_the_way.rmdir()
    bench.wait(job, scan=True)
    assert len(bench.answers(job)) == 2


def test_a_minimal_submission_holds_ids_and_answers_alone(bench: Bench) -> None:
    job = bench.post(problem_file(2), JobSettings(submission_format="minimal"))
    bench.start_worker()
    bench.wait(job)
    row = json.loads(bench.read(job, "submission.jsonl").splitlines()[0])
    assert list(row) == ["id", "questions"]
    assert all(list(question) == ["answer"] for question in row["questions"])


def test_a_job_waits_for_an_absent_server_and_then_continues(
    bench: Bench, server: StubServer
) -> None:
    server.stop()
    job = bench.post(problem_file(2))
    bench.start_worker()
    time.sleep(4)
    assert bench.store.end(job.id) is None
    server.start()
    bench.wait(job)
    assert len(bench.answers(job)) == 4


def publish(settings: Settings, digest: str) -> None:
    current = settings.models_dir / settings.model_name / "current"
    current.mkdir(parents=True, exist_ok=True)
    (current / "contract.json").write_bytes(make_contract(digest).dump())


def test_a_job_whose_weights_are_not_served_delays_no_other(
    settings: Settings, server: StubServer
) -> None:
    settings = settings.model_copy(update={"model_contract": "published"})
    bench = Bench(settings)
    try:
        publish(settings, "new")
        server.served, server.tokens = "m@new", [1, 2]
        old = bench.post(problem_file(20))
        pinned = bench.store.directory(old.id) / "contract.json"
        pinned.write_bytes(make_contract("old").dump())
        other = bench.post(problem_file(2))
        bench.start_worker()
        bench.wait(other)
        assert bench.store.end(old.id) is None
        assert bench.answers(old) == {}
        assert {request["model"] for request in server.requests} == {"m@new"}
        server.served = "m@old"
        bench.wait(old, scan=True)
        assert {request["model"] for request in server.requests} == {"m@new", "m@old"}
    finally:
        bench.stop_workers()


def test_a_job_directory_appears_complete_or_not_at_all(tmp_path: Path) -> None:
    store = JobStore(tmp_path)
    job, _ = store.create(io.BytesIO(problem_file(1)), "f", JobSettings(), 8)
    (tmp_path / "jobs" / ".new-job_20260101000000000_00000000").mkdir()
    assert store.ids() == [job.id]


def test_problems_with_the_same_text_are_all_answered(bench: Bench) -> None:
    rows = [{**json.loads(line), "problem": "同一题。"} for line in problem_file(3).splitlines()]
    job = bench.post("\n".join(json.dumps(row) for row in rows).encode())
    bench.start_worker()
    bench.wait(job)
    returned = [json.loads(line) for line in bench.read(job, "submission.jsonl").splitlines()]
    assert [row["id"] for row in returned] == [row["id"] for row in rows]
    assert all(question["answer"] for row in returned for question in row["questions"])


def test_the_next_shard_begins_while_a_question_of_the_last_waits(
    bench: Bench, server: StubServer
) -> None:
    """Problem 0 is answered only once problem 9 of another shard was asked."""
    data = problem_file(12, 1)

    def fail(body: dict[str, Any]) -> Response | None:
        asked = "".join(b["messages"][-1]["content"] for b in server.requests)
        waits = "第0题" in body["messages"][-1]["content"] and "第9题" not in asked
        return JSONResponse({}, 503) if waits else None

    server.fail = fail
    job = bench.post(data)
    assert [place.questions for place in job.shards] == [8, 4]
    bench.start_worker()
    bench.wait(job)
    assert len(bench.answers(job)) == 12


@pytest.mark.parametrize(
    ("questions", "workers", "shards"),
    [
        (10, 4, [10]),
        (100, 3, [50, 25, 25]),
        (130, 5, [50, 25, 25, 25, 5]),
        (200, 4, [50, 50, 50, 50]),
        (200, 2, [100, 100]),
        (2048, 1, [2048]),
        (3000, 1, [1500, 1500]),
        (5000, 2, [1250, 1250, 1250, 1250]),
    ],
)
def test_shards_are_equal_and_enough_for_all_workers(
    tmp_path: Path, questions: int, workers: int, shards: list[int]
) -> None:
    store, data = JobStore(tmp_path), io.BytesIO(problem_file(questions, 1))
    job, _ = store.create(data, "f", JobSettings(), 2048, workers=workers)
    assert [place.questions for place in job.shards] == shards
    asked = [asked.key for shard in range(len(shards)) for asked in store.shard(job, shard)]
    assert asked == [(f"p{i}", 0) for i in range(questions)]


def test_a_vote_drawn_at_once_has_the_winner_of_a_vote_in_rounds(
    bench: Bench, server: StubServer, tmp_path: Path
) -> None:
    data = problem_file(20)
    in_rounds = bench.post(data)
    bench.start_worker()
    bench.wait(in_rounds)
    bench.stop_workers()
    publish(bench.settings, "d")
    server.served = "m@d"
    own = {"model_contract": "published", "concurrency": 100}
    bench.settings = bench.settings.model_copy(update=own)
    at_once = bench.post(data)
    bench.start_worker()
    bench.wait(at_once)
    assert bench.read(at_once, "submission.jsonl") == bench.read(in_rounds, "submission.jsonl")
    assert not any(answer.at_once for answer in bench.answers(in_rounds).values())
    assert all(answer.at_once for answer in bench.answers(at_once).values())
    report = json.loads(bench.read(at_once, "report.json"))
    assert report["votes_at_once"] == 40


def test_a_following_shard_that_cannot_begin_leaves_the_one_in_flight(
    bench: Bench, server: StubServer
) -> None:
    """The journal of the second shard cannot be opened, until the first shard has ended."""
    job = bench.post(problem_file(12, 1))
    blocking = bench.store.journal(job.id, 1)
    blocking.mkdir()
    server.latency_s = 0.5
    bench.start_worker()
    until(lambda: bench.store.done_counts(job.id, 0) is not None)
    assert len(bench.store.answers(job, 0)) == 8
    blocking.rmdir()
    bench.wait(job, scan=True)


def test_credentials_in_the_servers_address_are_sent_and_not_shown(
    settings: Settings, server: StubServer
) -> None:
    address = server.url.replace("http://", "http://user:secret@")
    bench = Bench(settings.model_copy(update={"inference_url": address}))
    try:
        job = bench.post(problem_file(2))
        bench.start_worker()
        bench.wait(job)
        assert len(bench.answers(job)) == 4
        assert b"secret" not in bench.read(job, "answers.jsonl")
    finally:
        bench.stop_workers()


def test_start_json_names_what_was_added_to_requests(
    settings: Settings, server: StubServer
) -> None:
    bench = Bench(settings.model_copy(update={"extra_body": {"top_k": 20}}))
    try:
        job = bench.post(problem_file(1))
        bench.start_worker()
        bench.wait(job)
        start = bench.store.started(job.id)
        assert start is not None
        assert start.extra_body == {"top_k": 20}
        assert all(request["top_k"] == 20 for request in server.requests)
    finally:
        bench.stop_workers()
