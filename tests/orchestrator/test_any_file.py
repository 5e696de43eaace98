"""Files of other shapes go through the whole life of a job, and come back in each format."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import shutil
from collections.abc import Sequence
from email.message import Message
from pathlib import Path
from typing import Any

import duckdb
import httpx2
import pytest

from contract import FileFault
from orchestrator.errors import InvalidFileError
from orchestrator.jobs.records import JobSettings
from orchestrator.jobs.store import JobStore
from orchestrator.settings import Settings
from problem_files import problem_file
from question_files import csv_of, json_lines
from stub_server import StubServer
from workers import Bench, until

QUESTIONS = (
    ("2 + 2?", ["3", "4"], "B"),
    ('Which word, "north" or "south"?', ["north", "south"], "A"),
    ("首都是哪里？", ["北京", "上海"], "A"),
)
FLAT = [{"question": q, "choices": options, "answer": key} for q, options, key in QUESTIONS]
TABLE = csv_of([["question", "A", "B", "answer"], *([q, *o, key] for q, o, key in QUESTIONS)])
ARRAY = json.dumps(FLAT, ensure_ascii=False, indent=2).encode()
PACKED = gzip.compress(json_lines(FLAT))
FORMATS = ("full", "minimal", "csv", "posted")


def parquet_of(folder: Path, rows: Sequence[dict[str, Any]]) -> bytes:
    lines, table = folder / "rows.jsonl", folder / "rows.parquet"
    lines.write_bytes(json_lines(rows))
    duckdb.sql(f"COPY (SELECT * FROM read_json('{lines}')) TO '{table}' (FORMAT parquet)")
    return table.read_bytes()


def parquet_rows(folder: Path, data: bytes) -> list[dict[str, Any]]:
    table = folder / "read.parquet"
    table.write_bytes(data)
    found = duckdb.read_parquet(str(table))
    return [dict(zip(found.columns, row, strict=True)) for row in found.fetchall()]


def post(api: httpx2.Client, name: str, data: bytes, **form: str) -> dict[str, Any]:
    reply = api.post("/jobs", files={"file": (name, data)}, data=form)
    assert reply.status_code == 202, reply.text
    job: dict[str, Any] = reply.json()
    return job


def refused(api: httpx2.Client, name: str, data: bytes, **form: str) -> dict[str, Any]:
    reply = api.post("/jobs", files={"file": (name, data)}, data=form)
    assert reply.status_code == 422, reply.text
    details: dict[str, Any] = reply.json()
    return details


def download(api: httpx2.Client, job_id: str, what: str) -> tuple[bytes, str, str]:
    """A file's bytes, media type and name."""
    reply = api.get(f"/jobs/{job_id}/{what}")
    assert reply.status_code == 200, reply.text
    told = Message()
    told["content-disposition"] = reply.headers["content-disposition"]
    return reply.content, reply.headers["content-type"], told.get_filename() or ""


def lines(data: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in data.splitlines()]


def filled(posted: bytes, name: str, folder: Path) -> list[str]:
    """The answers in a posted file that came back."""
    if name.endswith(".csv"):
        return [row["answer"] for row in csv.DictReader(io.StringIO(posted.decode()))]
    if name.endswith(".parquet"):
        return [row["answer"] for row in parquet_rows(folder, posted)]
    rows = json.loads(posted) if name.endswith(".json") else lines(posted)
    return [row["answer"] for row in rows]


def test_each_file_comes_back_in_each_format(
    bench: Bench, api: httpx2.Client, tmp_path: Path
) -> None:
    files = {
        "mmlu.csv": (TABLE, "submission.csv", "text/csv; charset=utf-8", "CSV"),
        "law.json": (ARRAY, "submission.json", "application/json", "JSON array"),
        "x.parquet": (
            parquet_of(tmp_path, FLAT),
            "submission.parquet",
            "application/vnd.apache.parquet",
            "Parquet",
        ),
        "y.jsonl.gz": (PACKED, "submission.jsonl", "application/jsonl", "gzip"),
    }
    made = {
        (name, form): post(api, name, data, submission_format=form)
        for name, (data, *_) in files.items()
        for form in FORMATS
    }
    bench.start_worker()
    for job in made.values():
        bench.wait(bench.store.load(job["id"]), 120)
    for (name, form), job in made.items():
        posted, suffixed, media_type, statement = files[name]
        assert statement in job["recognized"]
        assert job["recognized_message"]["text"] == job["recognized"]
        assert job["sha256"] == hashlib.sha256(posted).hexdigest()
        assert download(api, job["id"], "file") == (posted, "application/octet-stream", name)
        answers = lines(download(api, job["id"], "answers")[0])
        given = [answer["answer"] for answer in answers]
        assert [answer["key"] for answer in answers] == [key for _, _, key in QUESTIONS]
        found, kind, saved_as = download(api, job["id"], "submission")
        assert saved_as == f"{job['id']}-{job['submission_file']}"
        if form == "csv":
            assert (kind, job["submission_file"]) == ("text/csv; charset=utf-8", "submission.csv")
            assert found == expected_csv(answers)
        elif form == "posted":
            assert (kind, job["submission_file"]) == (media_type, suffixed)
            assert filled(found, suffixed, tmp_path) == given
        else:
            assert (kind, job["submission_file"]) == ("application/jsonl", "submission.jsonl")
            rows = lines(found)
            assert [q["answer"] for row in rows for q in row["questions"]] == given
            assert ("options" in rows[0]["questions"][0]) == (form == "full")
    report = api.get(f"/jobs/{made['mmlu.csv', 'full']['id']}/report").json()
    assert report["provenance"]["read_as"]["text"] == made["mmlu.csv", "full"]["recognized"]


def expected_csv(answers: list[dict[str, Any]]) -> bytes:
    rows = [
        f"{a['id']},{a['index']},{a['answer']},"
        f"{'' if a['agreement'] is None else round(a['agreement'], 6)}\r\n"
        for a in answers
    ]
    return "".join(["id,index,answer,agreement\r\n", *rows]).encode()


def test_a_converted_job_is_cancelled_resumed_moved_and_deleted(
    bench: Bench, api: httpx2.Client, server: StubServer, settings: Settings, tmp_path: Path
) -> None:
    table = csv_of(
        [["question", "A", "B", "answer"], *([f"问{i}", "对", "错", "A"] for i in range(60))]
    )
    whole, job = (post(api, "t.csv", table, submission_format="posted") for _ in range(2))
    bench.start_worker()
    bench.wait(bench.store.load(whole["id"]))
    server.latency_s = 0.05
    folder = settings.data_dir / "jobs" / job["id"]
    record = bench.store.load(job["id"])
    api.post(f"/jobs/{job['id']}/cancel")
    until(lambda: bench.store.end(job["id"]) is not None)
    assert api.get(f"/jobs/{job['id']}/submission").status_code == 409
    assert download(api, job["id"], "file")[0] == table
    server.latency_s = 0
    bench.stop_workers()
    assert api.post(f"/jobs/{job['id']}/resume").status_code == 202
    until(lambda: bench.store.end(job["id"]) is None)

    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(folder, elsewhere / "jobs" / job["id"])
    bench.redis.flushall()
    moved = Bench(settings.model_copy(update={"data_dir": elsewhere}))
    moved.start_worker()
    moved.wait(record, scan=True)
    moved.stop_workers()
    assert moved.read(record, "submission.csv") == bench.read(
        bench.store.load(whole["id"]), "submission.csv"
    )
    left = {path.name for path in (elsewhere / "jobs" / job["id"]).iterdir()}
    assert left >= {"posted", "problems.jsonl"}
    assert not [name for name in left if name.startswith(".")]
    api.post(f"/jobs/{job['id']}/cancel")
    until(lambda: bench.store.end(job["id"]) is not None)
    assert api.delete(f"/jobs/{job['id']}").status_code == 200
    assert not folder.exists()


def test_faults_are_named_where_they_were_posted(api: httpx2.Client, tmp_path: Path) -> None:
    table = csv_of([["question", "A", "B", "answer"], ["a", "x", "y", "A"], ["b", "x", "y", "C"]])
    (fault,) = refused(api, "t.csv", table)["errors"]
    assert (fault["line"], fault["unit"]) == (3, "line")
    long = [FLAT[0], FLAT[1] | {"question": "x" * 200_001}]
    # found in the row that was made of it, as flat rows have no such limit
    (fault,) = refused(api, "t.json", json.dumps(long).encode())["errors"]
    assert (fault["line"], fault["unit"]) == (2, "row")
    assert "200000" in fault["reason"]
    (fault,) = refused(api, "t.parquet", parquet_of(tmp_path, long))["errors"]
    assert (fault["line"], fault["unit"]) == (2, "row")
    assert FileFault(2, "", fault["reason"], "row").sentence().startswith("row 2: ")
    assert api.get("/jobs").json()["data"] == []


def test_a_sender_may_say_how_a_file_is_read(api: httpx2.Client, bench: Bench) -> None:
    table = csv_of([["题干", "甲", "乙", "正确 答案"], ["一", "x", "y", 0], ["二", "x", "y", 1]])
    form = {"columns": "question=题干 A=甲 B=乙 answer=正确 答案", "index_base": "0"}
    job = post(api, "t.csv", table.decode().encode("gbk"), encoding="gbk", **form)
    record = bench.store.load(job["id"])
    keys = [asked.question.answer for asked in bench.store.shard(record, 0)]
    assert keys == ["A", "B"]
    assert "GBK" in job["recognized"]
    assert record.reading.index_base == 0
    posted = post(api, "t.jsonl", json_lines(FLAT), shape="flat")
    assert "flat" in posted["recognized"]


def test_a_way_to_read_that_does_not_exist_is_refused(api: httpx2.Client) -> None:
    for form, words in (
        ({"shape": "arcc"}, "no shape 'arcc'"),
        ({"encoding": "utf-9"}, "no encoding 'utf-9'"),
        ({"columns": "question"}, "columns: write pairs, as in question=Stem answer=Key"),
        ({"columns": "answer=a answer=b"}, "columns: answer is given twice"),
        ({"columns": "question=Stem"}, "Stem"),
        ({"index_base": "2"}, "index_base"),
    ):
        assert words in refused(api, "t.csv", TABLE, **form)["detail"]


def test_a_key_stands_for_the_reading_too(api: httpx2.Client) -> None:
    def posted(**form: str) -> httpx2.Response:
        files = {"file": ("t.csv", TABLE)}
        return api.post("/jobs", files=files, data=form, headers={"Idempotency-Key": "k1"})

    first = posted().json()["id"]
    assert posted().json()["id"] == first
    again = posted(shape="flat")
    assert (again.status_code, again.json()["type"]) == (422, "/problems/key-reused")


def test_an_archive_may_not_unpack_to_more_than_an_upload(settings: Settings) -> None:
    store = JobStore(settings.data_dir)
    bomb = gzip.compress(b" " * (1 << 20) + problem_file(1))
    with pytest.raises(InvalidFileError, match="unpacks to more than 1 MiB"):
        store.create(io.BytesIO(bomb), "b.gz", JobSettings(), 8, most_bytes=1 << 20)
    assert list((settings.data_dir / "jobs").iterdir()) == []


def test_our_own_rows_are_kept_as_one_file(bench: Bench, api: httpx2.Client) -> None:
    data = b"\xef\xbb\xbf" + problem_file(2)
    job = post(api, "a/../my.jsonl", data, submission_format="posted")
    assert (job["recognized"], job["submission_file"]) == (None, "submission.jsonl")
    assert not (bench.store.directory(job["id"]) / "posted").exists()
    assert download(api, job["id"], "file")[::2] == (data, "my.jsonl")
    full = post(api, "my.jsonl", data)
    bench.start_worker()
    for one in (job, full):
        bench.wait(bench.store.load(one["id"]))
    assert download(api, job["id"], "submission")[0] == download(api, full["id"], "submission")[0]


def test_a_posted_file_that_changed_is_not_filled_in(bench: Bench, api: httpx2.Client) -> None:
    job = bench.store.load(post(api, "t.csv", TABLE, submission_format="posted")["id"])
    posted = bench.store.posted(job)
    posted.write_bytes(TABLE + b"\n")
    bench.start_worker()
    bench.wait(job)
    shown = api.get(f"/jobs/{job.id}").json()
    assert (shown["status"], shown["request_counts"]["completed"]) == ("failed", 3)
    assert f"{posted} is not the file that was posted" in shown["error"]
    posted.write_bytes(TABLE)
    assert api.post(f"/jobs/{job.id}/resume").status_code == 202
    bench.wait(job)
    assert api.get(f"/jobs/{job.id}").json()["status"] == "completed"
    posted.unlink()
    assert "posted is missing" in api.get(f"/jobs/{job.id}/file").json()["detail"]
