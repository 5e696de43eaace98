"""A proxy that lets nothing through and records its requests."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


class StubProxy:
    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.asked: list[str] = []


@contextmanager
def stub_proxy() -> Iterator[StubProxy]:
    class Refusal(BaseHTTPRequestHandler):
        def refuse(self) -> None:
            proxy.asked.append(self.path)
            self.send_error(502, "nothing passes here")

        do_GET = do_POST = do_CONNECT = refuse  # noqa: N815 # the names that the library calls

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Refusal)
    proxy = StubProxy(server.server_address[1])
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield proxy
    finally:
        server.shutdown()
        server.server_close()


def set_proxies(monkeypatch: pytest.MonkeyPatch, **chosen: str) -> None:
    """Set these proxies, and no others, in the environment, also for its child processes."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    for name, value in chosen.items():
        monkeypatch.setenv(name, value)
