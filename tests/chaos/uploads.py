"""Posts of a file over a bad line."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Iterator

import httpx2

from chaos.stack import Stack

PIECES = 40
PIECE_EVERY_S = 0.05
ACCEPTED_TIMEOUT_S = 60.0
BOUNDARY = "chaos"
HEAD = (
    f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="f.jsonl"\r\n\r\n'
).encode()
TAIL = f"\r\n--{BOUNDARY}--\r\n".encode()


class Upload:
    """A post that sends the file in small pieces, from a thread of its own.

    It has an idempotency key, so that it can be repeated if it fails, as the command `quorum` does.
    """

    def __init__(self, stack: Stack, file: bytes) -> None:
        self._stack, self._file = stack, file
        self._key = secrets.token_hex(8)
        self._accepted: str | None = None
        self._thread = threading.Thread(target=self._send, daemon=True)
        self._thread.start()

    def _send(self, pause_s: float = PIECE_EVERY_S) -> None:
        body = _body(self._file)
        try:
            reply = _post(self._stack, _in_pieces(body, pause_s), len(body), self._key)
        except httpx2.TransportError:
            return  # it is repeated
        if reply.status_code == 202:
            self._accepted = reply.json()["id"]

    def job_id(self) -> str:
        """The accepted job. The post is repeated until it is accepted.

        Raises:
            TimeoutError: it is not accepted within a minute.
        """
        self._thread.join()

        def is_accepted() -> bool:
            if self._accepted is None:
                self._send(pause_s=0)
            return self._accepted is not None

        self._stack.until(is_accepted, ACCEPTED_TIMEOUT_S)
        assert self._accepted is not None
        return self._accepted


def cut_upload(stack: Stack, file: bytes) -> None:
    """A post whose client goes away in the middle."""
    body = _body(file)

    def half() -> Iterator[bytes]:
        yield body[: len(body) // 2]
        time.sleep(PIECE_EVERY_S)
        raise httpx2.WriteError("the client goes away")

    try:
        _post(stack, half(), len(body), secrets.token_hex(8))
    except httpx2.TransportError:
        return
    raise AssertionError("half a file was accepted")


def _body(file: bytes) -> bytes:
    return HEAD + file + TAIL


def _in_pieces(body: bytes, pause_s: float) -> Iterator[bytes]:
    size = len(body) // PIECES + 1
    for start in range(0, len(body), size):
        yield body[start : start + size]
        time.sleep(pause_s)


def _post(stack: Stack, pieces: Iterator[bytes], size: int, key: str) -> httpx2.Response:
    headers = {
        "Content-Type": f"multipart/form-data; boundary={BOUNDARY}",
        "Content-Length": str(size),
        "Idempotency-Key": key,
    }
    return httpx2.post(
        f"{stack.local.api_url}/jobs", content=pieces, headers=headers, timeout=30, trust_env=False
    )
