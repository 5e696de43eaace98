"""A stub in vLLM's place, for faults that the real one does not produce on demand.

Started by vLLM's own command line. The folder STUB_ENGINE tells it what to do: `reply` is what it
answers, `tokens` what it tokenizes to. While `busy` is there it says that requests run, and while
`hangs` is there it answers no post. While `fails` is there it answers a post with an error and ends
soon after, as vLLM does if its engine has died. While `slow` is there it writes that and loads.
While `dies` is there it writes that and ends. It leaves its command line in `started`, a line a
start, and each SIGTERM in `stops`. It ends a second after one, but not while `drains` is there.
"""

import argparse
import json
import os
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import FrameType
from typing import Any

FOLDER = Path(os.environ["STUB_ENGINE"])
NAMES: list[str] = []
FAILED = threading.Event()


class Handler(BaseHTTPRequestHandler):
    def send(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        if FAILED.is_set():
            self.send_error(503)
            return
        if self.path == "/v1/models":
            self.send(json.dumps({"data": [{"id": name} for name in NAMES]}).encode())
            return
        running = int((FOLDER / "busy").exists())
        self.send(f'vllm:num_requests_running{{engine="0"}} {running}.0\n'.encode())

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        while (FOLDER / "hangs").exists():
            time.sleep(0.1)
        if (FOLDER / "fails").exists():
            FAILED.set()
            threading.Timer(2, os._exit, [1]).start()
            self.send_error(500)
            return
        found: dict[str, Any] = {"tokens": json.loads((FOLDER / "tokens").read_text())}
        if self.path != "/tokenize":
            text = (FOLDER / "reply").read_text()
            found = {"choices": [{"message": {"content": text}}]}
        self.send(json.dumps(found).encode())

    def log_message(self, *_: object) -> None:
        pass


def stop(number: int, frame: FrameType | None) -> None:
    with (FOLDER / "stops").open("a") as file:
        file.write(f"{number}\n")
    threading.Timer(1, end).start()


def end() -> None:
    while (FOLDER / "drains").exists():
        time.sleep(0.1)
    os._exit(0)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, stop)
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int)
    parser.add_argument("--served-model-name", nargs="+")
    known, _ = parser.parse_known_args()
    NAMES += known.served_model_name
    with (FOLDER / "started").open("a") as file:
        file.write(" ".join(known.served_model_name) + "\n")
    if (FOLDER / "dies").exists():
        sys.exit((FOLDER / "dies").read_text())
    if (FOLDER / "slow").exists():
        print((FOLDER / "slow").read_text(), flush=True)
    while (FOLDER / "slow").exists():
        time.sleep(0.1)
    ThreadingHTTPServer(("127.0.0.1", known.port), Handler).serve_forever()
