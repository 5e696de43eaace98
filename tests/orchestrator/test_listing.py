"""Jobs have names and metadata, and the list finds them by these, by file and by status."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import httpx2
import pytest

from orchestrator.api.forms import pairs_of
from orchestrator.errors import InvalidSettingError
from orchestrator.jobs.listing import Filters, JobFinder
from orchestrator.jobs.reading import JobReader
from orchestrator.jobs.records import EndFile, JobFile, JobSettings
from orchestrator.jobs.store import JobStore
from orchestrator.settings import Settings
from problem_files import problem_file
from workers import Bench

ALL = Filters()


def post(api: httpx2.Client, filename: str = "my.jsonl", **form: str) -> httpx2.Response:
    return api.post("/jobs", files={"file": (filename, problem_file(1))}, data=form)


def ids(api: httpx2.Client, **params: Any) -> list[str]:
    reply = api.get("/jobs", params=params)
    assert reply.status_code == 200, reply.text
    return [job["id"] for job in reply.json()["data"]]


def test_a_job_keeps_its_name_and_metadata(bench: Bench, api: httpx2.Client) -> None:
    pairs = {"subject": "法律", "run": "3", "note": "two\nlines = one value"}
    posted = post(api, name="  law, first try ", metadata=json.dumps(pairs)).json()
    assert (posted["name"], posted["metadata"]) == ("law, first try", pairs)
    bench.start_worker()
    bench.wait(bench.store.load(posted["id"]))
    provenance = api.get(f"/jobs/{posted['id']}/report").json()["provenance"]
    assert (provenance["name"], provenance["metadata"]) == ("law, first try", pairs)
    unnamed = post(api).json()
    assert (unnamed["name"], unnamed["metadata"]) == (None, {})


def test_the_largest_metadata_is_taken_however_it_is_escaped(api: httpx2.Client) -> None:
    pairs = {f"{i:02d}" + "😀" * 62: "😀" * 512 for i in range(16)}
    for ascii_only in (False, True):
        reply = post(api, name="名" * 200, metadata=json.dumps(pairs, ensure_ascii=ascii_only))
        assert reply.status_code == 202, reply.text
        assert reply.json()["metadata"] == pairs


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("law", "not JSON"),
        ("[1]", "it is no JSON object; write a JSON object of texts"),
        ('{"a": "1", "a": "2"}', "at a: this key stands twice"),
        ('{"a": "\\ud800"}', "at a: holds"),
        (json.dumps({str(i): "" for i in range(17)}), "16 pairs at most, has 17"),
        (json.dumps({"x" * 65: ""}), f"{'x' * 65!r}: its key must have 1 to 64 characters, has 65"),
        ('{"": "x"}', "'': its key must have 1 to 64"),
        ('{"ok": "", "run": 3}', "the pair 'run': its value is no text"),
        (json.dumps({"note": "x" * 513}), "the pair 'note': its value must have 512"),
        ('{"note": "\\u0007"}', "the pair 'note': holds the control character '\\x07'"),
    ],
)
def test_metadata_is_refused_by_the_pair_that_is_wrong(given: str, words: str) -> None:
    with pytest.raises(InvalidSettingError) as refused:
        pairs_of(given)
    assert str(refused.value).startswith("metadata")
    assert words in str(refused.value)


def test_a_refused_name_or_pair_makes_no_job(api: httpx2.Client) -> None:
    for form in (
        {"name": "x" * 201},
        {"name": "two\nlines"},
        {"name": "\x07"},
        {"metadata": '{"run": 3}'},
    ):
        refused = post(api, **form)
        assert refused.status_code == 422
        assert refused.json()["detail"].startswith(*form)
    assert ids(api) == []


def test_a_key_stands_for_name_and_metadata_too(api: httpx2.Client) -> None:
    def posted(**form: str) -> httpx2.Response:
        files = {"file": ("f.jsonl", problem_file(1))}
        return api.post("/jobs", files=files, data=form, headers={"Idempotency-Key": "k1"})

    form = {"name": "a", "metadata": '{"k": "v"}'}
    first = posted(**form).json()["id"]
    assert posted(**form).json()["id"] == first
    for changed in ({"name": "b"}, {"metadata": '{"k": "w"}'}):
        refused = posted(**form | changed)
        assert (refused.status_code, refused.json()["type"]) == (422, "/problems/key-reused")
        assert "another file, name, metadata, reading or settings" in refused.json()["detail"]


def test_filters_are_joined_and_paged(api: httpx2.Client) -> None:
    made = [
        post(
            api,
            f"{'LAW' if i % 2 else 'sums'}-{i}.jsonl",
            name=f"Straße {i}",
            metadata=json.dumps({"parity": str(i % 2), "a=b": "c=d"}),
        ).json()["id"]
        for i in range(7)
    ][::-1]
    odd = [made[i] for i in (1, 3, 5)]
    assert ids(api, name="STRASSE") == made
    assert ids(api, name="straße 3") == [made[3]]
    assert ids(api, filename="law-") == odd
    assert ids(api, metadata="parity=1") == odd
    assert ids(api, metadata=["parity=1", "a=b=c=d"], filename="law-3") == [made[3]]
    assert ids(api, metadata="parity=") == ids(api, name="nothing") == []
    page = api.get("/jobs", params={"metadata": "parity=1", "limit": 2}).json()
    assert ([job["id"] for job in page["data"]], page["has_more"]) == (odd[:2], True)
    rest = {"metadata": "parity=1", "limit": 2, "after": odd[1]}
    page = api.get("/jobs", params=rest).json()
    assert ([job["id"] for job in page["data"]], page["has_more"]) == (odd[2:], False)
    page = api.get("/jobs", params={"metadata": "parity=1", "limit": 3}).json()
    assert (len(page["data"]), page["has_more"]) == (3, False)


def test_a_filter_that_is_no_filter_is_refused(api: httpx2.Client) -> None:
    for params, words in (
        ({"metadata": "law"}, "metadata: write key=value, is 'law'"),
        ({"status": "done"}, "status"),
        ({"nam": "x"}, "do you mean name?"),
    ):
        refused = api.get("/jobs", params=params)
        assert refused.status_code == 422
        assert words in refused.json()["detail"]


def test_jobs_are_found_by_the_status_that_they_show(bench: Bench, api: httpx2.Client) -> None:
    done = bench.post(problem_file(1))
    bench.start_worker()
    bench.wait(done)
    bench.stop_workers()
    broken, cancelled, running = (str(post(api).json()["id"]) for _ in range(3))
    (bench.store.directory(broken) / "job.json").write_text("{}")
    api.post(f"/jobs/{cancelled}/cancel")
    assert ids(api, status="completed") == [done.id]
    assert ids(api, status="failed") == [broken]
    assert ids(api, status="in_progress") == [running]
    assert ids(api, status=["in_progress", "cancelled"]) == [running, cancelled]
    assert ids(api, status="validating") == ids(api, name="x") == []
    api.post(f"/jobs/{cancelled}/resume")
    assert ids(api, status="cancelled") == []
    assert ids(api, status="in_progress") == [running, cancelled]
    api.post(f"/jobs/{running}/cancel")
    assert api.delete(f"/jobs/{running}").status_code == 200
    assert ids(api, status="in_progress") == [cancelled]


class Counting(JobReader):
    """Counts the jobs whose files are read."""

    read = 0

    def load_whole(self, job_id: str) -> JobFile:
        self.read += 1
        return super().load_whole(job_id)


def test_a_jobs_files_are_read_once_for_many_searches(settings: Settings) -> None:
    store = JobStore(settings.data_dir)
    made = [
        store.create(io.BytesIO(problem_file(1)), f"{i}.jsonl", JobSettings(), 8)[0].id
        for i in range(12)
    ][::-1]
    for job_id in made[2:]:
        store.write_end(job_id, EndFile(status="completed", finished_at=""))
    reader = Counting(settings.data_dir)
    finder = JobFinder(reader)
    assert list(finder.find(ALL, made[0])) == made[1:]
    assert reader.read == 0
    assert next(finder.find(Filters(filename=".jsonl"), None)) == made[0]
    assert reader.read == 1
    for _ in range(3):
        found = list(finder.find(Filters(statuses=frozenset({"completed"})), None))
        assert found == made  # of running jobs, the caller looks at the status
    assert reader.read == 12
    (store.directory(made[5]) / "end.json").unlink()  # as resuming it does
    failed = Filters(statuses=frozenset({"failed"}))
    assert list(finder.find(failed, None)) == [*made[:2], made[5]]
    assert reader.read == 13


def test_a_job_of_an_earlier_version_has_no_name(settings: Settings, api: httpx2.Client) -> None:
    job_id = post(api).json()["id"]
    path = Path(settings.data_dir) / "jobs" / job_id / "job.json"
    record = json.loads(path.read_text())
    for name in ("name", "metadata"):
        del record[name]
    path.write_text(json.dumps(record))
    found = api.get(f"/jobs/{job_id}").json()
    assert (found["status"], found["name"], found["metadata"]) == ("in_progress", None, {})
    assert ids(api, filename="my") == [job_id]
