"""Beside each text that the API shows stands its code; no code leads back to another text."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx2
from starlette.responses import JSONResponse

from contract import CodedMessage
from make_messages import parameters
from orchestrator.jobs.records import Answer, EndFile
from page_words import words
from problem_files import problem_file
from stub_server import StubServer
from workers import Bench, until

UNKNOWN_JOB = "/jobs/job_20261126101500123_0a1b2c3d"


def message(reply: Any, field: str) -> CodedMessage:
    """The coded message of a field, which must have the field's text."""
    found = CodedMessage.model_validate(reply[f"{field}_message"])
    assert found.text == reply[field]
    return found


def refusals(api: httpx2.Client) -> Iterator[dict[str, Any]]:
    """The replies to parameters and form fields that pydantic refuses."""
    file = {"file": ("f.jsonl", problem_file(1))}
    settings = {"samples": "x", "temperature": "x", "early_stop": "x", "vote": "x", "seed": "-1"}
    settings |= {"top_p": "0", "max_resamples": "11"}
    for name, value in settings.items():
        yield api.post("/jobs", files=file, data={name: value}).json()
    yield api.post("/jobs", files=file, data={"seed": str(2**31)}).json()
    yield api.post("/jobs", data={"samples": "3"}).json()
    yield api.post("/jobs", data={"file": "a text"}).json()
    for key in (b"", b"k" * 256, "é".encode()):
        yield api.post("/jobs", files=file, headers={b"Idempotency-Key": key}).json()
    for query in ("limit=0", "limit=101", "limit=x", "after=x"):
        yield api.get(f"/jobs?{query}").json()
    for query in ("show=x", "label=ab", f"text={'x' * 201}", f"limit={'9' * 5000}"):
        yield api.get(f"{UNKNOWN_JOB}/questions?{query}").json()


def test_every_refusal_of_a_value_has_chinese_words(api: httpx2.Client) -> None:
    codes = set()
    chinese = words("zh_sentences")
    for reply in refusals(api):
        detail = message(reply, "detail")
        reason = detail.params["reason"]
        assert isinstance(reason, CodedMessage)
        codes.add(reason.code)
        assert parameters(chinese[reason.code]) <= set(reason.params), reason
        assert not [value for value in reason.params.values() if " or " in str(value)]
    assert codes == {code for code in chinese if code.startswith("pydantic-")}


def test_refusals_and_faults_have_codes(api: httpx2.Client) -> None:
    unknown = message(api.get(UNKNOWN_JOB).json(), "detail")
    assert (unknown.code, unknown.params) == ("no-such-job", {"job": UNKNOWN_JOB[6:]})
    guessed = message(api.get("/jobs?limits=3").json(), "detail")
    assert (guessed.code, guessed.params["name"]) == ("unknown-name", "limits")
    faulty = api.post(
        "/jobs", files={"file": ("f.jsonl", b'{"problem": "", "questions": []}\n[1]\n')}
    ).json()
    assert message(faulty, "detail").code == "and-more-faults"
    codes = [message(fault, "reason").code for fault in faulty["errors"]]
    assert codes == ["must-be", "must-be", "not-one-row-a-line"]


def test_what_a_job_waits_for_has_a_code(
    api: httpx2.Client, bench: Bench, server: StubServer
) -> None:
    job = bench.post(problem_file(1))

    def note() -> CodedMessage | None:
        shown = api.get(f"/jobs/{job.id}").json()
        return message(shown, "note") if shown["note"] else None

    def waits_for(code: str) -> bool:
        found = note()
        return found is not None and found.code == code

    until(lambda: waits_for("waiting-for-worker"))
    server.fail = lambda body: JSONResponse({"error": "no memory"}, 503)
    bench.start_worker()
    until(lambda: waits_for("waiting-for-model"), 30)
    found = note()
    assert found is not None
    reason = found.params["reason"]
    assert isinstance(reason, CodedMessage)
    assert (reason.code, reason.params) == (
        "server-answers",
        {"http_status": 503, "words": "no memory"},
    )


def test_why_there_is_no_answer_has_a_code(
    api: httpx2.Client, bench: Bench, server: StubServer
) -> None:
    server.fail = lambda body: JSONResponse({"error": "too long"}, 400)
    bench.start_worker()
    job = bench.post(problem_file(1))
    bench.wait(job)
    ended = message(api.get(f"/jobs/{job.id}").json(), "error")
    assert (ended.code, ended.params) == ("questions-without-answer", {"failed": 2, "total": 2})
    answer = api.get(f"/jobs/{job.id}/questions/0").json()["answer"]
    assert message(answer, "error").code == "request-refused"
    listed = api.get(f"/jobs/{job.id}/errors").text.splitlines()
    assert {message(json.loads(line), "error").code for line in listed} == {"request-refused"}
    missing = message(api.get(f"/jobs/{job.id}/submission").json(), "detail")
    assert (missing.code, missing.params["status"]) == ("no-result", "failed")
    assert missing.params["reason"] == ended


def test_records_without_codes_can_be_read() -> None:
    end = EndFile.model_validate({"status": "failed", "finished_at": "", "error": "e"})
    answer = Answer.model_validate({"id": "a", "index": 0, "answer": None, "error": "e"})
    assert (end.error_message, answer.error_message) == (None, None)
