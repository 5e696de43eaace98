"""The benchmarks' own files as jobs: posted, answered with their keys, and written back."""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path

import pytest

from contract.files.converting import convert
from contract.files.shapes import Reading
from orchestrator.jobs.asked import all_asked
from orchestrator.jobs.counting import Counting
from orchestrator.jobs.finishing import finish
from orchestrator.jobs.records import Answer, JobFile, JobSettings
from orchestrator.jobs.store import JobStore
from orchestrator.jobs.submission import submission_file

FOLDER = Path(os.environ.get("QUORUM_REAL_DATA", "none")) / "shapes"
FILES = sorted(FOLDER.iterdir()) if FOLDER.is_dir() else []
NO_FILES = [pytest.param(None, marks=pytest.mark.skip(reason="QUORUM_REAL_DATA is not set"))]


def keys(store: JobStore, job: JobFile) -> list[str | None]:
    shards = range(len(job.shards))
    return [asked.question.answer for n in shards for asked in store.shard(job, n)]


def answer_with_keys(store: JobStore, job: JobFile) -> None:
    """Journal each question's key as its answer, and end the job."""
    for shard in range(len(job.shards)):
        counting = Counting()
        with store.journal(job.id, shard).open("wb") as file:
            for asked in all_asked(store.problems(job, shard)):
                key = asked.question.answer
                answer = Answer(
                    id=asked.key[0],
                    index=asked.index,
                    answer=key or "A",
                    key=key,
                    multiple=job.settings.multiple,
                    agreement=1,
                )
                counting.add(answer)
                file.write(answer.model_dump_json().encode() + b"\n")
        store.mark_done(job.id, shard, counting.counts())
    finish(store, job)


@pytest.mark.parametrize("path", FILES or NO_FILES, ids=lambda path: path and path.name)
def test_a_real_file_goes_through_a_job_and_comes_back(path: Path, tmp_path: Path) -> None:
    store = JobStore(tmp_path)
    ended = {}
    for form in ("posted", "csv"):
        settings = JobSettings(submission_format=form, multiple=True)
        with path.open("rb") as file:
            job, _ = store.create(file, path.name, settings, 100)
        assert job.recognized is not None
        assert store.posted(job).read_bytes() == path.read_bytes()
        answer_with_keys(store, job)
        end = store.end(job.id)
        assert end is not None
        assert (end.status, end.error) == ("completed", None)
        assert end.counts is not None
        assert end.counts.completed == job.questions
        ended[form] = store.directory(job.id) / submission_file(job).name, job

    written, job = ended["posted"]
    again = convert(written, tmp_path / "again.jsonl", Reading(), most_bytes=64 << 20)
    assert again is not None
    assert job.recognized is not None
    assert again.shape == job.recognized.shape
    with written.open("rb") as file:
        filled, _ = store.create(file, "filled", JobSettings(), 100)
    assert keys(store, filled) == [key or "A" for key in keys(store, job)]

    text, job = ended["csv"]
    rows = [*csv.DictReader(io.StringIO(text.read_bytes().decode(), newline=""))]
    assert [row["answer"] for row in rows] == [key or "A" for key in keys(store, job)]
