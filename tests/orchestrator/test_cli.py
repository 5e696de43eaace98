"""The command `quorum` as a user types it, against a real API, workers and a stub model server."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from itertools import pairwise
from pathlib import Path

import httpx2
import pytest

from problem_files import problem_file
from stub_server import StubServer
from workers import Bench

WELL, ENDED_BADLY, WRONG_USE, REFUSED, UNREACHABLE, INTERRUPTED = 0, 1, 2, 3, 4, 130


class Quorum:
    """Runs the command in a folder of its own."""

    def __init__(self, url: str, folder: Path) -> None:
        self.folder = folder
        self.environment = {**os.environ, "QUORUM_URL": url, "COLUMNS": "200"}
        self.environment.pop("QUORUM_API_KEY", None)

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-m", "orchestrator.cli", *arguments],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __call__(self, *arguments: str, code: int = WELL) -> "subprocess.CompletedProcess[str]":
        process = self.start(*arguments)
        out, err = process.communicate(timeout=120)
        assert process.returncode == code, (arguments, out, err)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)


@pytest.fixture
def quorum(api: httpx2.Client, tmp_path: Path) -> Quorum:
    (tmp_path / "my.jsonl").write_bytes(problem_file(10))
    return Quorum(str(api.base_url), tmp_path)


def test_a_jobs_whole_life(quorum: Quorum, bench: Bench) -> None:
    posted = quorum("submit", "my.jsonl", "--samples", "5")
    job_id = posted.stdout.strip()
    assert f"quorum wait {job_id}" in posted.stderr
    assert "in_progress" in quorum("show", job_id).stdout
    quorum("cancel", job_id)
    while "cancelled" not in quorum("show", job_id).stdout:  # it ends with the next scan
        time.sleep(0.2)
    quorum("resume", job_id)
    bench.start_worker()
    waited = quorum("wait", job_id, "--out", "out.jsonl")
    assert "20 answered, 0 failed" in waited.stdout
    rows = [json.loads(line) for line in (quorum.folder / "out.jsonl").read_text().splitlines()]
    assert [row["id"] for row in rows] == [f"p{i}" for i in range(10)]
    assert quorum("download", job_id).stdout == (quorum.folder / "out.jsonl").read_text()
    answers = quorum("download", job_id, "--what", "answers").stdout
    assert len(answers.splitlines()) == 20

    report = quorum("report", job_id).stdout
    for part in ("accuracy", "by problem", "by agreement", "most missed", "saved"):
        assert part in report
    assert json.loads(quorum("report", job_id, "--json").stdout)["questions"] == 20

    second = quorum("submit", "my.jsonl", "--seed", "1", "--wait").stdout
    assert "20 answered" in second
    assert (quorum.folder / "my.submission.jsonl").exists()
    listed = json.loads(quorum("list", "--json").stdout)["data"]
    assert [job["status"] for job in listed] == ["completed"] * 2
    assert job_id in quorum("list").stdout
    quorum.environment["COLUMNS"] = "80"
    assert "…" not in quorum("list").stdout  # a cut id could not be copied
    quorum.environment["COLUMNS"] = "200"
    compared = json.loads(quorum("compare", job_id, listed[0]["id"], "--json").stdout)
    assert compared["questions"] == 20
    assert compared["same_answer"] + len(compared["changed"]) == 20
    assert "same answer" in quorum("compare", job_id, listed[0]["id"]).stdout

    assert json.loads(quorum("delete", job_id, "--json").stdout)["deleted"] is True
    gone = quorum("show", job_id, code=REFUSED)
    assert (gone.stdout, "there is no job" in gone.stderr) == ("", True)


def test_jobs_are_found_by_what_they_were_called(quorum: Quorum) -> None:
    options = ("--name", "law, first try", "--metadata", "subject=法律", "--metadata", "run=a=3")
    first = quorum("submit", "my.jsonl", *options).stdout.strip()
    second = quorum("submit", "my.jsonl", "--metadata", "subject=法律").stdout.strip()
    shown = quorum("show", first).stdout
    assert "law, first try" in shown
    assert "subject=法律, run=a=3" in shown

    def found(*filters: str) -> list[str]:
        listed = json.loads(quorum("list", "--json", *filters).stdout)
        return [job["id"] for job in listed["data"]]

    assert found("--name", "LAW") == found("--metadata", "run=a=3") == [first]
    assert found("--status", "in_progress", "--filename", "my") == [second, first]
    assert found("--status", "completed") == []
    page = quorum("list", "--metadata", "subject=法律", "--limit", "1")
    assert "law" not in page.stdout  # no column, as this page's job has no name
    assert f"quorum list --metadata 'subject=法律' --after {second}" in page.stderr
    assert "law, first try" in quorum("list").stdout
    for words, given in (("write key=value", ["run"]), ("given twice", ["a=1", "--metadata=a=2"])):
        assert words in quorum("submit", "my.jsonl", "--metadata", *given, code=WRONG_USE).stderr


def test_a_csv_file_is_posted_and_comes_back_as_one(quorum: Quorum, bench: Bench) -> None:
    table = "Stem,A,B,Right One\none?,x,y,A\ntwo?,x,y,B\n"
    (quorum.folder / "mmlu.csv").write_text(table)
    mapped = ("--map", "question=Stem", "answer=Right One")
    bench.start_worker()
    posted = quorum("submit", "mmlu.csv", *mapped, "--submission-format", "csv", "--wait")
    assert "read as flat rows (CSV)" in posted.stderr
    assert "2 questions accepted" in posted.stderr
    rows = (quorum.folder / "mmlu.submission.csv").read_text().splitlines()
    assert rows[0] == "id,index,answer,agreement"
    assert len(rows) == 3
    job_id = json.loads(quorum("list", "--json").stdout)["data"][0]["id"]
    assert "flat rows (CSV)" in quorum("show", job_id).stdout
    assert quorum("download", job_id, "--what", "file").stdout == table
    (quorum.folder / "saved").mkdir()
    for what in ("file", "submission", "report"):
        quorum("download", job_id, "--what", what, "--out", "saved")
    assert {path.name for path in (quorum.folder / "saved").iterdir()} == {
        "mmlu.csv",
        f"{job_id}-submission.csv",
        f"{job_id}-report.json",
    }
    refused = quorum("submit", "mmlu.csv", "--shape", "arc", code=REFUSED)
    assert "arc" in refused.stderr
    wrong = quorum("submit", "mmlu.csv", "more.csv", code=WRONG_USE)
    assert "'more.csv' is no NAME=COLUMN" in wrong.stderr


def test_the_model_is_named(quorum: Quorum) -> None:
    assert "stub" in quorum("model").stdout
    assert json.loads(quorum("model", "--json").stdout)["contract"] is None


def test_each_fault_of_a_refused_file_is_printed_with_its_place(quorum: Quorum) -> None:
    rows = problem_file(3).splitlines()
    rows[1] = rows[1].replace(b'"options": ["\xe5\xaf\xb9", "\xe9\x94\x99"]', b'"options": []')
    (quorum.folder / "bad.jsonl").write_bytes(b"\n".join([*rows, b"{"]))
    refused = quorum("submit", "bad.jsonl", code=REFUSED)
    assert refused.stdout == ""
    assert "line 2, questions[0].options" in refused.stderr
    assert "line 4" in refused.stderr
    details = json.loads(quorum("submit", "bad.jsonl", "--json", code=REFUSED).stdout)
    assert [fault["line"] for fault in details["errors"]] == [2, 2, 4]
    missing = quorum("submit", "nothing.jsonl", code=REFUSED)
    assert "cannot read nothing.jsonl" in missing.stderr


def test_a_wrong_command_has_an_exit_code_of_its_own(quorum: Quorum) -> None:
    assert "No such command" in quorum("sumbit", "my.jsonl", code=WRONG_USE).stderr
    assert "samples" in quorum("submit", "my.jsonl", "--samples", "65", code=REFUSED).stderr


def test_a_job_without_submission_has_an_exit_code_of_its_own(quorum: Quorum, bench: Bench) -> None:
    job_id = quorum("submit", "my.jsonl").stdout.strip()
    quorum("cancel", job_id)
    quorum("wait", job_id, code=ENDED_BADLY)
    refused = quorum("download", job_id, "--out", "half.jsonl", code=REFUSED)
    assert "the job is cancelled" in refused.stderr
    assert not (quorum.folder / "half.jsonl").exists()


def test_an_unreachable_api_is_named_with_the_variable_to_set(tmp_path: Path) -> None:
    gone = Quorum("http://127.0.0.1:9", tmp_path)("list", code=UNREACHABLE)
    assert "is the API running? Set QUORUM_URL or --url" in gone.stderr


@pytest.mark.parametrize("job_id", ["..", "../model", "job/x?y#z", "%2e%2e", "题"])
def test_an_odd_job_id_reaches_no_other_address(quorum: Quorum, job_id: str) -> None:
    said = quorum("show", job_id, code=REFUSED).stderr
    assert "(404)" in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    "arguments",
    [
        ("--api-key", "ключ", "list"),
        ("submit", "my.jsonl", "--idempotency-key", "题"),
        ("submit", "my.jsonl", "--idempotency-key", "x" * 256),
        ("list", "--after", "job_1"),
    ],
)
def test_an_argument_unfit_for_http_is_refused_in_one_line(
    quorum: Quorum, arguments: tuple[str, ...]
) -> None:
    said = quorum(*arguments, code=REFUSED).stderr
    assert len(said.splitlines()) == 1, said


def test_a_server_that_is_not_the_api_is_recognized(tmp_path: Path) -> None:
    class Welcome(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<html>welcome</html>")

        def log_message(self, *arguments: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Welcome) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{other.server_port}"
        for command in (("list",), ("report", "job_1")):
            said = Quorum(url, tmp_path)(*command, code=REFUSED)
            assert "is the address right?" in said.stderr
            assert len(said.stderr.splitlines()) == 1
        other.shutdown()


def test_ctrl_c_leaves_the_job_running_and_says_how_to_come_back(
    quorum: Quorum, bench: Bench, server: StubServer, api: httpx2.Client
) -> None:
    server.latency_s = 0.5
    bench.start_worker()
    process = quorum.start("submit", "my.jsonl", "--wait")
    deadline = time.monotonic() + 60
    while not server.in_flight:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == INTERRUPTED
    job_id = api.get("/jobs").json()["data"][0]["id"]
    assert f"follow it again with: quorum wait {job_id}" in err
    server.latency_s = 0
    quorum("wait", job_id)


@contextmanager
def busy_server(refusals: int, retry_after: str) -> Iterator[tuple[str, list[dict[str, str]]]]:
    """A stub of the API that answers 503 a few times and then an empty list."""
    seen: list[dict[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            seen.append({"at": str(time.monotonic()), **dict(self.headers)})
            busy = len(seen) <= refusals
            body = b"busy" if busy else b'{"object": "list", "data": [], "has_more": false}'
            self.send_response(503 if busy else 200)
            if busy:
                self.send_header("Retry-After", retry_after)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", seen
    finally:
        server.shutdown()
        thread.join()


def test_a_busy_api_is_asked_again_after_the_time_it_names(tmp_path: Path) -> None:
    with busy_server(2, "1") as (url, seen):
        quorum = Quorum(url, tmp_path)
        quorum("--api-key", "s3cret", "list", "--json")
        assert len(seen) == 3
        assert {request["Authorization"] for request in seen} == {"Bearer s3cret"}
        waits = [float(b["at"]) - float(a["at"]) for a, b in pairwise(seen)]
        assert all(wait >= 1 for wait in waits)


def test_an_api_that_stays_busy_is_given_up(tmp_path: Path) -> None:
    with busy_server(99, "0.01") as (url, seen):
        refused = Quorum(url, tmp_path)("list", code=REFUSED)
        assert len(seen) == 5
    assert "503" in refused.stderr


def test_the_shell_completes_commands() -> None:
    """The call that bash makes for `quorum re<Tab>`, after `quorum --install-completion`."""
    asked = {"_QUORUM_COMPLETE": "complete_bash", "COMP_WORDS": "quorum re", "COMP_CWORD": "1"}
    command = str(Path(sys.executable).with_name("quorum"))
    done = subprocess.run(
        [command], env={**os.environ, **asked}, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["resume", "report"]


def test_the_command_imports_nothing_that_only_services_need() -> None:
    """Those packages take seconds to import, and every command would wait for them."""
    code = "import orchestrator.cli, sys; print(*{n.split('.')[0] for n in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"openai", "redis", "rq", "fastapi", "uvicorn"} & set(done.stdout.split())
