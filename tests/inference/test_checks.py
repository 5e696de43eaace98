import socket
import threading
from pathlib import Path

import pytest

from contracts import make_contract
from inference.checks import Client, begins_alike, faults, garbage


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "empty"),
        (" \n ", "empty"),
        ("!!!!!!!!!!!!", "only repeats"),
        ("! ! ! ! ! ! ! !", "only repeats"),
        ("答案\ufffd\ufffd\ufffd\ufffd", "not text"),
    ],
)
def test_garbage_of_a_broken_card_or_dtype_is_recognized(text: str, says: str) -> None:
    assert says in str(garbage(text))


@pytest.mark.parametrize("text", ["答案是：B", "B", "!!!", "由题意，甲在乙左边。\n答案是：A"])
def test_a_real_reply_is_not_garbage(text: str) -> None:
    assert garbage(text) is None


def test_replies_must_begin_alike_but_may_differ_later() -> None:
    assert begins_alike("庚绿，绿湖，结果是湖", "庚绿，绿湖，因此")
    assert not begins_alike("我不知道。", "庚绿，绿湖，结果是湖")


@pytest.mark.parametrize(
    "body", [b"<html>", b"null", b"[]", b'{"choices": []}', b'{"tokens": 3}', b"\xff"]
)
@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\n\r\n", b"SMTP ready\r\n"])
def test_an_unreadable_reply_to_the_checks_is_a_fault(
    head: bytes, body: bytes, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:  # the test is over
                    return
                with connection:
                    connection.recv(100_000)
                    connection.sendall(head + body)

        threading.Thread(target=answer, daemon=True).start()
        server = Client(f"http://127.0.0.1:{listening.getsockname()[1]}", "")
        (fault,) = faults(server, make_contract("aaa1"), tmp_path, "m")
        assert "the server" in fault
        server.busy()
        server.healthy()
        listening.shutdown(socket.SHUT_RDWR)
