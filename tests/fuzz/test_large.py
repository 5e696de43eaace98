"""Large and slow input: the API's memory stays bounded, and it goes on serving.

Sizes are in bytes. With FUZZ=thorough they are those of the largest upload that is allowed.
"""

from __future__ import annotations

import itertools
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx2
import pytest

from damage import FUZZED
from orchestrator.local.ports import free_port
from orchestrator.settings import Settings
from problem_files import problem_file
from workers import Bench, until

pytestmark = pytest.mark.long

THOROUGH = FUZZED.max_examples > 1000
LARGE_MIB = 190 if THOROUGH else 10
LARGE = LARGE_MIB << 20
LEVELS = 100_000
CONNECTIONS = 500
# an idle API takes about 110 MiB, and one row may have 16 MiB
ROOM_MIB = 160
ROW = b'{"problem":"p","questions":[{"question":"q","options":["x"]}]}\n'


class ApiProcess:
    """The API in a process of its own, so that its memory can be measured."""

    def __init__(self, settings: Settings) -> None:
        self.port = free_port()
        self.log = settings.data_dir.parent / "log"
        values = {**settings.model_dump(mode="json"), "api_port": self.port}
        environment = {
            key.upper(): str(value) for key, value in values.items() if value is not None
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "orchestrator.api"],
            env={**os.environ, **environment},
            stdout=self.log.open("wb"),
            stderr=subprocess.STDOUT,
        )
        self.client = httpx2.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=600)

    def is_up(self) -> bool:
        try:
            return self.client.get("/healthz").status_code == 200
        except httpx2.TransportError:
            return False

    def peak_mib(self) -> int:
        """The most memory that the process has had at once."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(r"VmHWM:\s+(\d+) kB", status)
        assert found is not None
        return int(found[1]) >> 10

    def post(self, pieces: Iterable[bytes]) -> httpx2.Response:
        return self.client.post("/jobs", content=_multipart(pieces), headers=MULTIPART)

    def stop(self) -> None:
        self.client.close()
        self.process.terminate()
        self.process.wait(60)


MULTIPART = {"Content-Type": "multipart/form-data; boundary=b"}
HEAD = b'--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'


def _multipart(pieces: Iterable[bytes]) -> Iterator[bytes]:
    yield HEAD
    yield from pieces
    yield b"\r\n--b--\r\n"


@pytest.fixture
def served(settings: Settings) -> Iterator[ApiProcess]:
    api = ApiProcess(settings.model_copy(update={"shard_questions": 2048}))
    try:
        until(api.is_up)
        yield api
    finally:
        api.stop()
    assert "Traceback" not in api.log.read_text()
    assert list((settings.data_dir / "uploads").iterdir()) == []


def _repeated(piece: bytes, size: int) -> Iterator[bytes]:
    block = piece * max(1, (1 << 18) // len(piece))
    for _ in range(size // len(block)):
        yield block


def _fault(reply: httpx2.Response) -> tuple[int, str]:
    assert reply.status_code == 422, reply.text[:500]
    (fault,) = reply.json()["errors"]
    assert len(reply.content) < 5000
    return fault["line"], fault["reason"]


def test_a_large_file_of_large_rows_takes_little_memory(served: ApiProcess) -> None:
    before = served.peak_mib()
    text = b"x" * 199_000
    rows = (
        b'{"id":%d,"problem":"%s","questions":[{"question":"q","options":["x"]}]}\n' % (i, text)
        for i in range(LARGE // 200_000)
    )
    job = served.post(rows)
    assert job.status_code == 202, job.text[:500]
    found = served.client.get(f"/jobs/{job.json()['id']}/questions", params={"text": "no such"})
    assert found.json()["total"] == 0
    assert served.peak_mib() - before < ROOM_MIB


def test_a_large_file_of_small_rows_takes_bounded_memory(served: ApiProcess) -> None:
    # an id is kept of each row while the file is checked, and a place of each question to list them
    served.post([ROW])
    before = served.peak_mib()
    job = served.post(_repeated(ROW, LARGE))
    assert job.status_code == 202, job.text[:500]
    assert job.json()["request_counts"]["total"] > LARGE // len(ROW) - 5000
    assert served.peak_mib() - before < 60 + 3 * LARGE_MIB
    listed = served.client.get(f"/jobs/{job.json()['id']}/questions", params={"limit": 1})
    assert listed.json()["total"] == job.json()["request_counts"]["total"]
    assert served.peak_mib() - before < 60 + 10 * LARGE_MIB


def test_a_line_of_50_mb_is_refused_before_it_is_kept(served: ApiProcess) -> None:
    before = served.peak_mib()
    line = itertools.chain([b'{"problem": "'], _repeated(b"x", 50 << 20))
    line_number, reason = _fault(served.post(line))
    assert line_number == 1
    assert reason.startswith("a JSON document may have 32 MiB at most; write JSON lines")
    assert served.peak_mib() - before < ROOM_MIB


def test_a_million_empty_lines_are_no_rows(served: ApiProcess) -> None:
    before = served.peak_mib()
    empty = [b"\n" * 500_000, b"\r\n" * 500_000]
    assert _fault(served.post(empty))[1].startswith("the file is empty")
    row = served.post([*empty, ROW])
    assert row.status_code == 202
    question = served.client.get(f"/jobs/{row.json()['id']}/questions/0").json()
    assert question["row"]["id"] == "1000001"
    assert served.peak_mib() - before < ROOM_MIB


@pytest.mark.parametrize("opened", [b"[", b'{"a":'])
def test_deep_nesting_is_refused(served: ApiProcess, opened: bytes) -> None:
    for closed in (b"", (b"]" if opened == b"[" else b"1" + b"}") * LEVELS):
        line, reason = _fault(served.post([opened * LEVELS + closed]))
        assert line == 1
        assert "nested too deeply" in reason


def test_a_form_of_one_endless_field_takes_little_memory(served: ApiProcess) -> None:
    before = served.peak_mib()
    for kind, head in (
        ("application/x-www-form-urlencoded", b"samples="),
        (MULTIPART["Content-Type"], b"--b\r\nContent-Disposition: form-data; name="),
        (MULTIPART["Content-Type"], b'--b\r\nContent-Disposition: form-data; name="seed"\r\n\r\n'),
        (MULTIPART["Content-Type"], b"--b\r\nX: y\r\n" * 100_000),
        (MULTIPART["Content-Type"], b"x" * 100_000),
    ):
        pieces = iter([head, *_repeated(b"x", 20 << 20)])
        try:
            reply = served.client.post("/jobs", content=pieces, headers={"Content-Type": kind})
            assert reply.status_code in (400, 422), (kind, head[:60])
        except httpx2.TransportError:  # refused while the client still sent
            pass
    assert served.is_up()
    assert served.peak_mib() - before < ROOM_MIB


def _begin(port: int, text: bytes) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=60)
    connection.sendall(text)
    return connection


POST = (
    b"POST /jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10000000\r\n"
    b"Content-Type: multipart/form-data; boundary=b\r\n\r\n" + HEAD
)


def test_aborted_uploads_leave_nothing(served: ApiProcess, settings: Settings) -> None:
    before = served.peak_mib()
    for number in range(100):
        _begin(served.port, POST + b"x" * (number * 20_000)).close()
    uploads = settings.data_dir / "uploads"
    until(lambda: not list(uploads.iterdir()))
    assert served.is_up()
    assert served.client.get("/jobs").json()["data"] == []
    assert served.peak_mib() - before < ROOM_MIB


def test_held_connections_stop_neither_health_nor_a_job(
    served: ApiProcess, settings: Settings, bench: Bench
) -> None:
    followed = bench.post(problem_file(1))
    events = f"GET /jobs/{followed.id}/events HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    held = [POST + b"x" * 500_000, POST, events, b"GET /jobs HTTP/1.1\r\nHost: local", b""]
    with ExitStack() as connections:
        for number in range(CONNECTIONS):
            connection = _begin(served.port, held[number % len(held)])
            connections.enter_context(connection)
        bench.start_worker()
        job = served.post([problem_file(20)]).json()
        deadline = time.monotonic() + 120
        while served.client.get(f"/jobs/{job['id']}").json()["status"] != "completed":
            assert time.monotonic() < deadline
            assert served.is_up()
            time.sleep(0.2)
        assert served.client.get("/readyz").json()["redis"] == "ok"
        assert served.peak_mib() < 600
