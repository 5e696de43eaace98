"""A job ends, whatever is wrong with its submission; only a volume that fails makes it wait."""

from __future__ import annotations

import gzip
import io
import json
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from orchestrator.jobs.asked import all_asked
from orchestrator.jobs.finishing import finish
from orchestrator.jobs.records import Answer, Counts, JobFile, JobSettings
from orchestrator.jobs.store import JobStore
from question_files import json_lines

ROWS = [{"question": "q" * 900, "options": ["x", "y"], "answer": "A"}] * 40


def answered(folder: Path, data: bytes, **settings: Any) -> tuple[JobStore, JobFile]:
    """A job whose questions are all answered, and which has not ended."""
    store = JobStore(folder)
    job, _ = store.create(io.BytesIO(data), "rows", JobSettings(**settings), 1000)
    asked = [*all_asked(store.problems(job, 0))]
    lines = [Answer(id=a.key[0], index=a.index, answer="B").model_dump_json() for a in asked]
    store.journal(job.id, 0).write_text("".join(f"{line}\n" for line in lines))
    store.mark_done(job.id, 0, Counts(completed=len(asked)))
    return store, job


def damaged(store: JobStore, job: JobFile, **changes: Any) -> JobFile:
    """The job as a version with other shapes or encodings would have written it."""
    assert job.recognized is not None
    path = store.directory(job.id) / "job.json"
    kept = json.loads(path.read_text())
    path.write_text(json.dumps({**kept, "recognized": {**kept["recognized"], **changes}}))
    return store.load(job.id)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [({"shape": "gone"}, "KeyError: 'gone'"), ({"encoding": "x"}, "there is no encoding 'x'")],
)
def test_a_job_fails_if_its_submission_cannot_be_written(
    tmp_path: Path, changes: dict[str, str], reason: str
) -> None:
    store, job = answered(tmp_path, json_lines(ROWS), submission_format="posted")
    posted = (store.directory(job.id) / "job.json").read_bytes()
    finish(store, damaged(store, job, **changes))
    end = store.end(job.id)
    assert end is not None
    assert end.error_message is not None
    assert (end.status, end.error_message.code) == ("failed", "submission-not-written")
    assert reason in str(end.error)
    folder = store.directory(job.id)
    assert len((folder / "answers.jsonl").read_text().splitlines()) == len(ROWS)
    assert (folder / "report.json").exists()
    assert not [*folder.glob("submission.*")]
    (folder / "job.json").write_bytes(posted)
    store.resume(job.id)
    finish(store, job)
    assert store.end(job.id).status == "completed"  # type: ignore[union-attr]
    assert len((folder / "submission.jsonl").read_text().splitlines()) == len(ROWS)


def test_a_cancelled_job_ends_without_its_submission(tmp_path: Path) -> None:
    store, job = answered(tmp_path, json_lines(ROWS), submission_format="posted")
    job = damaged(store, job, shape="gone")
    store.cancel(job.id)
    finish(store, job)
    end, folder = store.end(job.id), store.directory(job.id)
    assert end is not None
    assert (end.status, end.error) == ("cancelled", None)
    assert len((folder / "answers.jsonl").read_text().splitlines()) == len(ROWS)
    assert not [*folder.glob("submission.*")]


@contextmanager
def files_of_at_most(size_bytes: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_volume_that_takes_no_submission_makes_the_job_wait(tmp_path: Path) -> None:
    packed = gzip.compress(json_lines(ROWS))
    store, job = answered(tmp_path, packed, submission_format="posted")
    with files_of_at_most(30_000), pytest.raises(OSError, match="File too large"):
        finish(store, job)
    assert not store.has_ended(job.id)
    finish(store, job)
    assert store.end(job.id).status == "completed"  # type: ignore[union-attr]
