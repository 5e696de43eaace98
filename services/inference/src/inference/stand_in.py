"""A server in the place of one that cannot be: it answers everything with 503 and the reason.

So whoever asks, a job's note included, reads why nothing is served.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

RETRY_AFTER_S = 30


@contextmanager
def standing_in(host: str, port: int, reason: Callable[[], str]) -> Iterator[None]:
    """Each request is told what `reason` gives then."""

    class Refusal(BaseHTTPRequestHandler):
        def refuse(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            error = {"message": reason(), "type": "unavailable", "code": 503}
            body = json.dumps({"error": error}).encode()
            self.send_response(503)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Retry-After", str(RETRY_AFTER_S))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = refuse  # noqa: N815 # the names that the library calls

        def log_message(self, *_: object) -> None:
            """Nothing: clients that wait ask often."""

    server = ThreadingHTTPServer((host, port), Refusal)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
