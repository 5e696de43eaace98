"""Temporary files of writers that were killed do not outlive the job."""

from __future__ import annotations

from contract.files.filling import FILLING
from problem_files import problem_file
from workers import Bench

# As `replacing` and `write_once` name them.
LEFT = (
    ".answers.jsonl.0123abcd",
    ".end.json.0123abcd",
    ".submission.csv.0123abcd",
    ".start.json.4711",
    ".contract.json.4711",
    "shards/.0000.done.0123abcd",
)


def test_an_ended_job_has_no_temporary_files(bench: Bench) -> None:
    job = bench.post(problem_file(2))
    for name in LEFT:
        (bench.store.directory(job.id) / name).write_bytes(b"cut o")
    (bench.store.directory(job.id) / f"{FILLING}0123abcd").mkdir()
    (bench.store.directory(job.id) / f"{FILLING}0123abcd" / "unpacked").write_bytes(b"half")
    bench.start_worker()
    bench.wait(job)
    assert not list(bench.store.directory(job.id).rglob(".*"))
