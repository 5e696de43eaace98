"""The server that tells why no other one answers."""

from __future__ import annotations

import json
import socket
import urllib.error
import urllib.request
from collections.abc import Iterator
from resource import RUSAGE_SELF, getrusage

import pytest

from contract.stand_in import Reason, standing_in

PIECE = b"x" * (1 << 20)


@pytest.fixture
def port() -> Iterator[int]:
    with standing_in("127.0.0.1", 0, lambda: Reason("it loads", "starting")) as port:
        yield port


def answer_to(port: int, request: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.sendall(request)
        return b"".join(iter(lambda: client.recv(1 << 16), b""))


def test_a_large_request_takes_no_memory(port: int) -> None:
    before_kib = getrusage(RUSAGE_SELF).ru_maxrss
    with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
        client.sendall(b"POST / HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % (200 * len(PIECE)))
        for _ in range(200):
            client.sendall(PIECE)
        assert b"it loads" in b"".join(iter(lambda: client.recv(1 << 16), b""))
    assert getrusage(RUSAGE_SELF).ru_maxrss - before_kib < 50 << 10


@pytest.mark.parametrize(
    "header",
    ["Expect: 100-continue\r\nContent-Length: 9", "Content-Length: -1", "Content-Length: many"],
)
def test_a_client_that_sends_no_body_is_answered(port: int, header: str) -> None:
    answer = answer_to(port, f"POST / HTTP/1.1\r\n{header}\r\n\r\n".encode())
    assert answer.startswith(b"HTTP/1.0 503")
    assert b"it loads" in answer


def test_a_client_that_leaves_is_not_logged(port: int, capfd: pytest.CaptureFixture[str]) -> None:
    for _ in range(5):
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            client.sendall(b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\n")
    assert b"it loads" in answer_to(port, b"GET / HTTP/1.1\r\n\r\n")
    assert capfd.readouterr().err == ""


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="no IPv6 here")
def test_it_stands_in_on_ipv6_too() -> None:
    with standing_in("::1", 0, lambda: Reason("wrong")) as port:
        with pytest.raises(urllib.error.HTTPError) as raised:
            urllib.request.urlopen(f"http://[::1]:{port}/")
        assert json.loads(raised.value.read())["error"]["message"] == "wrong"
