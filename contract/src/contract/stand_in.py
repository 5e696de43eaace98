"""Replaces a server that cannot start: answers every request with 503 and the reason.

So every client can show the reason, including a job's note and a container's health check. A
container that ended instead would be restarted again and again, with the reason only in its log.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal, NamedTuple, NoReturn

from contract.settings import WRONG_SETTINGS, end_with

# Why no server answers: it starts, or waits for a model or a trainer's end; or somebody must act.
Kind = Literal["starting", "unavailable"]
RETRY_AFTER_S: dict[Kind, int] = {"starting": 5, "unavailable": 30}
PIECE_BYTES = 1 << 16
# A client that sends nothing for so long is hung up on.
PATIENCE_S = 60.0
# Compose starts its containers with this argument.
STAY = "--stay"


class Reason(NamedTuple):
    """`text` is for people; programs tell by `kind` whether waiting is enough."""

    text: str
    kind: Kind = "unavailable"


class _Server(ThreadingHTTPServer):
    request_queue_size = 1024  # a job's requests may all come at once

    def __init__(self, host: str, port: int, handler: type[BaseHTTPRequestHandler]) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, port), handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), OSError):  # a client that left is no fault
            super().handle_error(request, client_address)


@contextmanager
def standing_in(host: str, port: int, reason: Callable[[], Reason]) -> Iterator[int]:
    """Answer requests until the block ends, each with the current value of `reason()`. Yields the
    port, which the system chooses if `port` is 0.
    """

    class Refusal(BaseHTTPRequestHandler):
        timeout = PATIENCE_S

        def refuse(self) -> None:
            self.pass_over_body()
            text, kind = reason()
            error = {"message": text, "type": kind, "code": 503}
            body = json.dumps({"error": error}, allow_nan=False).encode()
            self.send_response(503)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Retry-After", str(RETRY_AFTER_S[kind]))
            self.end_headers()
            self.wfile.write(body)

        def pass_over_body(self) -> None:
            """Most clients read a reply only once they have sent everything. One that expects a
            word before it sends its body gets the refusal instead.
            """
            length = self.headers.get("Content-Length", "")
            if self.headers.get("Expect") or not length.isdecimal():
                return
            left = int(length)
            while left > 0 and (piece := self.rfile.read(min(left, PIECE_BYTES))):
                left -= len(piece)

        do_GET = do_POST = refuse  # noqa: N815 # the library calls these names

        def log_message(self, *_: object) -> None:
            """Log nothing: waiting clients ask often."""

    server = _Server(host, port, Refusal)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def refuse_to_start(service: str, port: int, reason: str) -> NoReturn:
    """End with `reason`, the fault in the settings. With `STAY`, stand in until a stop signal
    instead.

    `service` is the prefix of the variables for host and port; `port` is the default.
    """
    if STAY in sys.argv[1:]:
        # read from the environment, because the settings could not be read
        host = os.environ.get(f"{service}_HOST") or "127.0.0.1"
        chosen = os.environ.get(f"{service}_PORT", "")
        port = int(chosen) if chosen.isdigit() else port
        print(reason, file=sys.stderr, flush=True)
        stops = (signal.SIGTERM, signal.SIGINT)
        signal.pthread_sigmask(signal.SIG_BLOCK, stops)
        with standing_in(host, port, lambda: Reason(reason)):
            signal.sigwait(stops)
        sys.exit(WRONG_SETTINGS)
    end_with(reason)
