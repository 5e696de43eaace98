"""A relay between a worker and its model server, which notes when each request and reply passes.

It copies bytes and changes none, so any server that speaks HTTP without TLS can be behind it.
"""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

METHODS = (b"GET ", b"POST ")
CHUNK_BYTES = 1 << 16


@dataclass
class Passed:
    """A request, and when it and the last bytes of its reply passed (each a time.time())."""

    path: str
    asked_at_s: float
    replied_at_s: float = 0.0


class Relay(threading.Thread):
    """Relays to the server at `url` while the block runs; `url` is then the relay's own address."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        parts = urlsplit(url)
        if parts.scheme != "http" or parts.hostname is None:
            raise ValueError(f"{url} must begin with http://, because the relay reads the requests")
        self._server, self._path = (parts.hostname, parts.port or 80), parts.path
        self._ready, self._loop = threading.Event(), asyncio.new_event_loop()
        self.passed: list[Passed] = []
        self.url = ""

    def __enter__(self) -> Self:
        self.start()
        self._ready.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self.join()

    def run(self) -> None:
        listener = self._loop.run_until_complete(
            asyncio.start_server(self._serve, "127.0.0.1", 0, limit=CHUNK_BYTES)
        )
        port = listener.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}{self._path}"
        self._ready.set()
        self._loop.run_forever()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        listener.close()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection. A client sends its next request once it has the reply to the last one."""
        of_connection: list[Passed] = []

        async def requests() -> None:
            with suppress(OSError):
                while chunk := await reader.read(CHUNK_BYTES):
                    if chunk.startswith(METHODS):
                        path = chunk.split(b" ", 2)[1].decode()
                        of_connection.append(Passed(path, time.time()))
                        self.passed.append(of_connection[-1])
                    to_server.write(chunk)
                    await to_server.drain()
            to_server.close()

        async def replies() -> None:
            with suppress(OSError):
                while chunk := await from_server.read(CHUNK_BYTES):
                    if of_connection:
                        of_connection[-1].replied_at_s = time.time()
                    writer.write(chunk)
                    await writer.drain()
            writer.close()

        try:
            from_server, to_server = await asyncio.open_connection(*self._server)
        except OSError:
            writer.close()
            return
        await asyncio.gather(requests(), replies())
