"""The API refuses at its door: other hosts, misspelt and odd parameters, bodies over the limits,
and calls without the key, before their body is read."""

from __future__ import annotations

import json
import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import product
from pathlib import Path
from typing import Any

import httpx2
import pytest
import structlog
from pydantic import ValidationError

from orchestrator.api import doors
from orchestrator.settings import ApiSettings, Settings
from orchestrator_parts import serving
from problem_files import problem_file
from workers import until

MULTIPART_BYTES = b"multipart/form-data; boundary=b"
MULTIPART = {"Content-Type": MULTIPART_BYTES.decode()}
KEY = {"Authorization": "Bearer s3cret"}


def problem(reply: httpx2.Response, status: int) -> str:
    """The detail of a refusal; it must be a problem document."""
    assert reply.status_code == status, reply.text
    assert reply.headers["content-type"] == "application/problem+json"
    document = reply.json()
    assert document["status"] == status
    assert document["request_id"] == reply.headers["x-request-id"]
    detail: str = document["detail"]
    return detail


@contextmanager
def connected(port: int) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        yield connection


def received(connection: socket.socket) -> tuple[int, dict[str, Any]]:
    """Status and body of a reply on a raw connection; its request may be incomplete."""
    data = b""
    while (found := re.search(rb"content-length: (\d+)\r\n.*?\r\n\r\n", data, re.S)) is None or len(
        data
    ) < found.end() + int(found[1]):
        piece = connection.recv(65536)
        assert piece, data
        data += piece
    return int(data.split()[1]), json.loads(data[found.end() :])


@pytest.fixture
def with_key(settings: Settings) -> Iterator[httpx2.Client]:
    """A client without the key, and an API that needs one."""
    changed = settings.model_copy(update={"api_key": "s3cret", "max_upload_mib": 1})
    with (
        serving(changed) as port,
        httpx2.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client,
    ):
        yield client


# ---- hosts --------------------------------------------------------------------------------------

OURS = [
    "localhost",
    "LOCALHOST:8080",
    "localhost.",
    "127.0.0.1:8080",
    "[::1]:8080",
    "192.0.2.7",
    "[2001:db8::7]:80",
    "quorum.example",
    "Quorum.Example:443",
    "gpu-box_1",
]
OTHERS = [
    "evil.example",
    "evil.example:8080",
    "127.0.0.1.evil.example",
    "localhost.evil.example",
    "notquorum.example",
    "sub.quorum.example",
    "user@localhost",
    "localhost:8080@evil.example",
    "localhost:port",
    "[::1",
    "",
    "localhost..",
    "127.0.0.1, evil.example",
]


def test_only_our_own_host_names_are_served(settings: Settings) -> None:
    listed = settings.model_copy(
        update={"allowed_hosts": "Quorum.Example, gpu-box_1,", "api_key": "s3cret"}
    )
    with (
        serving(listed) as port,
        httpx2.Client(base_url=f"http://127.0.0.1:{port}", headers=KEY) as client,
    ):
        for host in OURS:
            assert client.get("/jobs", headers={"Host": host}).status_code == 200, host
        for host in OTHERS:
            for path in ("/", "/page/app.js", "/jobs", "/metrics", "/docs", "/healthz", "/nothing"):
                detail = problem(client.get(path, headers={"Host": host}), 421)
                assert "ALLOWED_HOSTS" in detail, (host, path)
                assert repr(host) in detail, (host, path)


def test_a_rebound_name_with_its_own_origin_changes_nothing(api: httpx2.Client) -> None:
    port = api.base_url.port
    headers = {"Host": f"evil.example:{port}", "Origin": f"http://evil.example:{port}"}
    reply = api.post("/jobs", files={"file": ("f", problem_file(1))}, headers=headers)
    assert "evil.example" in problem(reply, 421)
    assert api.get("/jobs").json()["data"] == []


def test_a_request_without_one_host_is_refused(api: httpx2.Client) -> None:
    for head, status in (
        (b"GET /jobs HTTP/1.0\r\n\r\n", 421),
        (b"GET /jobs HTTP/1.1\r\n\r\n", 400),  # uvicorn's own refusal
        (b"GET /jobs HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n", 400),
    ):
        with connected(api.base_url.port or 0) as connection:
            connection.sendall(head)
            assert int(connection.recv(65536).split()[1]) == status


def test_the_address_the_api_is_published_on_is_served(settings: Settings) -> None:
    changed = {"api_published_on": "GPU.example", "api_host": "box.lan", "allowed_hosts": "a, B."}
    names = settings.model_copy(update=changed).host_names
    assert names == {"localhost", "gpu.example", "box.lan", "a", "b"}


@pytest.mark.parametrize("given", ["https://a", "a:8080", "a b", "*", "题库.cn", "a/b"])
def test_impossible_names_in_allowed_hosts_are_refused(given: str) -> None:
    with pytest.raises(ValidationError, match=r"ALLOWED_HOSTS holds .*without scheme and port"):
        ApiSettings.model_validate({"allowed_hosts": given})


# ---- parameters ---------------------------------------------------------------------------------


def test_an_unknown_form_field_is_refused_with_the_nearest(api: httpx2.Client) -> None:
    def post(fields: list[tuple[str, Any]]) -> str:
        return problem(api.post("/jobs", files=[("file", ("f", problem_file(1))), *fields]), 422)

    assert post([("sampels", (None, "9"))]) == (
        "'sampels': this call has no such form field; do you mean samples?"
    )
    assert "do you mean top_p?" in post([("topp", (None, "1"))])
    assert "it has file, samples," in post([("\x00", (None, "1"))])
    assert "samples: is given 2 times" in post([("samples", (None, "3"))] * 2)
    assert "file: is given 2 times" in post([("file", ("g", problem_file(1)))])
    assert "control character" in post([("priority", (None, "high\x00"))])
    assert "samples: is empty" in post([("samples", (None, ""))])
    assert api.get("/jobs").json()["data"] == []


JOB = "job_20260101000000000_00000000"
QUERIES = [
    ("/jobs?after=%00", "after"),
    ("/jobs?after=job_1", "after"),
    ("/jobs?after=", "after"),
    (f"/jobs?after={JOB}%0A", "after"),
    (f"/jobs?after={JOB}&after={JOB}", "after: is given 2 times"),
    ("/jobs?after=%ff", "not UTF-8"),
    ("/jobs?after=" + "x" * 20_000, "after"),
    ("/jobs?limit=0", "limit"),
    ("/jobs?limit=1&limit=2", "limit: is given 2 times"),
    ("/jobs?limt=1", "do you mean limit?"),
    ("/jobs?status=running", "status"),
    ("/jobs?colour=red", "it has limit, after"),
    (f"/jobs/{JOB}?verbose=1", "it has none"),
    (f"/jobs/{JOB}/events?x=1", "'x'"),
    (f"/jobs/{JOB}/submission?x=1", "'x'"),
    (f"/jobs/{JOB}/questions?show=wrogn", "show"),
    (f"/jobs/{JOB}/questions?label=A1", "label"),
    (f"/jobs/{JOB}/questions?label=%00", "label"),
    (f"/jobs/{JOB}/questions?label=a", "label"),
    (f"/jobs/{JOB}/questions?text=%00", "text"),
    (f"/jobs/{JOB}/questions?text=" + "x" * 201, "text"),
    (f"/jobs/{JOB}/questions?text=%ed%a0%80", "not UTF-8"),
    (f"/jobs/{JOB}/questions?offset=-1", "offset"),
    (f"/jobs/{JOB}/comparison?to=..", "to"),
    (f"/jobs/{JOB}/comparison", "to"),
    ("/model?digest=x", "'digest'"),
    ("/models?limit=1", "'limit'"),
]


def test_an_odd_or_unknown_query_is_refused_by_name(api: httpx2.Client) -> None:
    for url, named in QUERIES:
        detail = problem(api.get(url), 422)
        assert named in detail, (url[:80], detail)
        assert len(detail) < 400


CHARSETS = ["undefined", "idna", "utf-7", "unicode_escape", "hex"]


def test_a_form_in_another_charset_is_refused(api: httpx2.Client) -> None:
    for charset, value in product(CHARSETS, [b"+2AA-", b"\\ud800", b"x" * 100]):
        body = b'--b\r\nContent-Disposition: form-data; name="%s"\r\n\r\n1\r\n--b--\r\n' % value
        headers = {"Content-Type": f"multipart/form-data; boundary=b; charset={charset}"}
        detail = problem(api.post("/jobs", content=body, headers=headers), 422)
        assert detail == f"the form's charset is {charset!r}; send the form as UTF-8"


def test_a_setting_in_the_query_is_pointed_to_the_form(api: httpx2.Client) -> None:
    reply = api.post("/jobs?samples=9", files={"file": ("f", problem_file(1))})
    assert "send it as a form field" in problem(reply, 422)


@pytest.mark.parametrize(
    "job_id",
    ["%00", "%ff", "job_1", JOB + "%0A", "..%5C..", "%E2%80%AE", "x" * 20_000],
)
def test_an_odd_job_id_is_no_job(api: httpx2.Client, job_id: str) -> None:
    for what in ("", "/events", "/submission", "/questions", "/figures"):
        assert len(problem(api.get(f"/jobs/{job_id}{what}"), 404)) < 400
    for method, what in (("POST", "/cancel"), ("POST", "/resume"), ("DELETE", "")):
        problem(api.request(method, f"/jobs/{job_id}{what}"), 404)


@pytest.mark.parametrize("key", ["", "x" * 256, "schlüssel", "a\tb"])
def test_an_odd_idempotency_key_is_refused(api: httpx2.Client, key: str) -> None:
    headers = [(b"Idempotency-Key", key.encode())]
    reply = api.post("/jobs", files={"file": ("f", problem_file(1))}, headers=headers)
    assert "idempotency-key" in problem(reply, 422)


ODD_HEADERS = [
    (b"Origin", b"http://["),
    (b"Origin", b"null"),
    (b"Origin", b"\xff"),
    (b"Sec-Fetch-Site", b"same-origin, cross-site"),
    (b"Content-Type", b"multipart/form-data"),
    (b"Content-Type", b"multipart/form-data; boundary=" + b"x" * 300),
    (b"Content-Type", b"application/json"),
    (b"Content-Type", b"\xff\xfe"),
]
HARMLESS_HEADERS = [
    (b"Cookie", b"quorum_session=\xff; ;;=; a=b=c"),
    (b"Authorization", b"Bearer \xff"),
    (b"Authorization", b"Basic"),
    (b"Last-Event-ID", b"\xff" * 9000),
    (b"X-Forwarded-Host", b"evil.example"),
]


def test_odd_headers_get_a_problem_document_or_change_nothing(api: httpx2.Client) -> None:
    for header in ODD_HEADERS:
        kind = [] if header[0] == b"Content-Type" else [(b"Content-Type", MULTIPART_BYTES)]
        reply = api.post("/jobs", content=b"".join(in_pieces(0)), headers=[*kind, header])
        assert reply.status_code in (400, 403, 422), header
        problem(reply, reply.status_code)
    for header in HARMLESS_HEADERS:
        assert api.get("/jobs", headers=[header]).status_code == 200, header
    assert api.get("/jobs").json()["data"] == []


def test_prometheus_reaches_the_api_by_its_service_name(root: Path) -> None:
    asked = (root / "services/monitoring/prometheus.yml").read_text()
    assert "targets: [api:8080]" in asked
    found = re.search(
        r"ALLOWED_HOSTS: (.*)\$\{ALLOWED_HOSTS:-\}", (root / "docker-compose.yml").read_text()
    )
    assert found is not None
    settings = ApiSettings.model_validate({"allowed_hosts": found[1]})
    assert "api" in settings.host_names


def test_a_filename_is_kept_in_a_form_safe_to_show(api: httpx2.Client) -> None:
    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="%s"\r\n\r\n'
    for name, kept in (
        ("a\x1b[31m\u202eb.jsonl", "a�[31m�b.jsonl"),
        ("题" * 300 + ".jsonl", "题" * 249 + ".jsonl"),
    ):
        body = head % name.encode() + problem_file(1) + b"\r\n--b--\r\n"
        headers = {"Content-Type": "multipart/form-data; boundary=b"}
        assert api.post("/jobs", content=body, headers=headers).json()["filename"] == kept


# ---- bodies -------------------------------------------------------------------------------------


def in_pieces(size: int) -> Iterator[bytes]:
    head = b'--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'
    yield head
    for _ in range(size >> 16):
        yield b"x" * 65536
    yield b"\r\n--b--\r\n"


def test_a_refusal_of_a_large_body_names_the_setting(with_key: httpx2.Client) -> None:
    told = with_key.post("/jobs", files={"file": ("f", b"x" * (2 << 20))}, headers=KEY)
    chunked = with_key.post("/jobs", content=in_pieces(2 << 20), headers={**KEY, **MULTIPART})
    for reply in (told, chunked):
        detail = problem(reply, 413)
        assert "MAX_UPLOAD_MIB" in detail
        assert "1 MiB at most" in detail


def test_a_call_that_takes_no_file_takes_no_large_body(with_key: httpx2.Client) -> None:
    reply = with_key.post("/session", data={"key": "x" * 100_000})
    assert "64 KiB at most" in problem(reply, 413)


@pytest.mark.parametrize("path", ["/jobs", f"/jobs/{JOB}/cancel", "/models/aaa1/current"])
def test_the_key_is_asked_for_before_the_body_is_read(with_key: httpx2.Client, path: str) -> None:
    begun = (
        f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n"
        "Content-Type: multipart/form-data; boundary=b\r\n\r\n--b\r\n"
    )
    with connected(with_key.base_url.port or 0) as connection:
        connection.sendall(begun.encode())  # and no more of the body
        status, details = received(connection)
    assert status == 401
    assert "Bearer" in details["detail"]


def test_a_page_of_another_site_is_refused_before_its_body(with_key: httpx2.Client) -> None:
    begun = "POST /jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n" + (
        "Sec-Fetch-Site: cross-site\r\nAuthorization: Bearer s3cret\r\n\r\n"
    )
    with connected(with_key.base_url.port or 0) as connection:
        connection.sendall(begun.encode())
        assert received(connection)[0] == 403


def test_an_upload_aborted_by_its_sender_is_no_error(
    api: httpx2.Client, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    begun = (
        "POST /jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n"
        "Content-Type: multipart/form-data; boundary=b\r\n\r\n--b\r\n"
    )
    with structlog.testing.capture_logs() as logs:
        with connected(api.base_url.port or 0) as connection:
            connection.sendall(begun.encode())
        until(lambda: any(entry["event"] == "request" for entry in logs), 20)
    assert [entry["log_level"] for entry in logs if entry["event"] != "model server"] == ["info"]
    assert "Exception in ASGI" not in caplog.text
    assert list((settings.data_dir / "uploads").iterdir()) == []


@pytest.mark.parametrize("pause_s", [None, 0.1])
def test_a_body_that_stalls_or_trickles_is_ended(
    api: httpx2.Client, settings: Settings, monkeypatch: pytest.MonkeyPatch, pause_s: float | None
) -> None:
    monkeypatch.setattr(doors, "IDLE_S", 1.0)
    begun = (
        "POST /jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n"
        "Content-Type: multipart/form-data; boundary=b\r\n\r\n--b\r\n"
    )
    began = time.monotonic()
    with connected(api.base_url.port or 0) as connection:
        connection.sendall(begun.encode())
        connection.settimeout(pause_s)
        for _ in range(100):
            try:
                status, details = received(connection)
                break
            except TimeoutError:
                connection.sendall(b"C")
        connection.settimeout(20)
        with suppress(ConnectionResetError):  # if a byte was sent after the server closed it
            assert connection.recv(1) == b""  # and the connection is closed
    assert status == 408
    assert "bytes of the body came" in details["detail"]
    assert time.monotonic() - began >= 1
    assert list((settings.data_dir / "uploads").iterdir()) == []


def test_a_slow_reply_is_not_mistaken_for_a_slow_body(
    api: httpx2.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = api.post("/jobs", files={"file": ("f", problem_file(1))}).json()["id"]
    monkeypatch.setattr(doors, "IDLE_S", 0.2)
    with api.stream("GET", f"/jobs/{job_id}/events") as reply:
        lines = reply.iter_lines()
        next(lines)
        time.sleep(0.5)
        api.post(f"/jobs/{job_id}/cancel")
        assert any(line.startswith("event: end") for line in lines)


def test_nothing_is_left_of_a_refused_upload(with_key: httpx2.Client, settings: Settings) -> None:
    with_key.post("/jobs", content=in_pieces(2 << 20), headers={**KEY, **MULTIPART})
    folders: list[Path] = [settings.data_dir / "uploads", settings.data_dir / "jobs"]
    assert [list(folder.iterdir()) for folder in folders if folder.exists()] == [[]]
