"""The server's address: what it answers, and what it passes on."""

import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from inference.front import Front

LARGE = b"x" * (32 << 20)


@contextmanager
def server(name: str) -> Iterator[int]:
    """A server that answers with its name, echoes what is posted, and keeps connections open."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0)) or name.encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = answer  # noqa: N815 # the library calls these names

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 1024

    serving = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=serving.serve_forever)
    thread.start()
    yield serving.server_port
    serving.shutdown()
    serving.server_close()
    thread.join()


@pytest.fixture
def front() -> Iterator[Front]:
    with Front(socket.create_server(("127.0.0.1", 0))) as front:
        yield front


def connect(front: Front) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(*front.address, timeout=30)


def ask(connection: http.client.HTTPConnection, body: bytes | None = None) -> bytes:
    connection.request("POST" if body else "GET", "/", body)
    return connection.getresponse().read()


def test_the_reason_is_told_while_no_server_is_ready(front: Front) -> None:
    front.tell("loading the weights", "starting")
    connection = connect(front)
    connection.request("GET", "/health")
    reply = connection.getresponse()
    assert (reply.status, reply.headers["Retry-After"]) == (503, "5")
    error = json.loads(reply.read())["error"]
    assert error == {"message": "loading the weights", "type": "starting", "code": 503}


def test_a_newer_server_gets_the_new_connections_only(front: Front) -> None:
    with server("old") as old, server("new") as new:
        front.pass_to(old)
        first = connect(front)
        assert ask(first) == b"old"
        front.pass_to(new)
        assert ask(connect(front)) == b"new"
        assert ask(first) == b"old"
        first.close()


def test_large_bodies_pass_in_both_directions(front: Front) -> None:
    with server("a") as port:
        front.pass_to(port)
        assert ask(connect(front), LARGE) == LARGE


def test_a_connection_to_a_dead_server_is_closed(front: Front) -> None:
    with server("a") as port:
        pass
    front.pass_to(port)
    with pytest.raises((ConnectionError, http.client.RemoteDisconnected)):
        ask(connect(front))


def test_a_client_that_leaves_is_noticed_by_the_server(front: Front) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(30)
        front.pass_to(listening.getsockname()[1])
        client = socket.create_connection(front.address)
        client.sendall(b"question")
        accepted, _ = listening.accept()
        accepted.settimeout(30)
        assert accepted.recv(100) == b"question"
        client.close()
        assert accepted.recv(100) == b""


def test_a_server_that_is_stuck_with_a_lost_client_is_freed(front: Front) -> None:
    """It reads nothing before it has written, and the client read nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        front.pass_to(listening.getsockname()[1])
        client = socket.create_connection(front.address)
        accepted, _ = listening.accept()
        accepted.settimeout(10)
        client.settimeout(0.5)
        with pytest.raises(TimeoutError):
            client.sendall(LARGE)
        threading.Timer(0.5, client.close).start()
        with accepted, pytest.raises(ConnectionError):
            accepted.sendall(LARGE + LARGE)


def test_a_reply_is_passed_on_whole_at_the_end() -> None:
    """The server has ended while its last reply is on its way to a slow client."""
    with socket.socket() as client, socket.create_server(("127.0.0.1", 0)) as listening:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        client.settimeout(30)
        with Front(socket.create_server(("127.0.0.1", 0))) as front:
            front.pass_to(listening.getsockname()[1])
            client.connect(front.address)
            accepted, _ = listening.accept()
            received: list[int] = []
            reading = threading.Thread(target=read_slowly, args=(client, received))
            reading.start()
            with accepted:
                accepted.sendall(LARGE[: 8 << 20])
        reading.join()
    assert sum(received) == 8 << 20


def read_slowly(client: socket.socket, received: list[int]) -> None:
    while piece := client.recv(1 << 18):
        received.append(len(piece))
        time.sleep(0.01)


def test_hundreds_of_clients_pass_at_once(front: Front) -> None:
    with server("a") as port:
        front.pass_to(port)
        clients = [connect(front) for _ in range(600)]
        for client in clients:
            client.request("GET", "/")
        assert {client.getresponse().read() for client in clients} == {b"a"}
        for client in clients:
            client.close()
