"""Links that can be cut: relays in front of the model server and of Redis."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, Literal

PIECE_BYTES = 1 << 16
Mode = Literal["open", "frozen", "refused", "halved"]
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Link:
    """A relay from one socket to another: a Unix socket if given as a path, else a loopback port.

    `open` passes everything on. `frozen` accepts connections and holds all bytes back. `refused`
    ends each connection at once. `halved` passes requests on, and ends the connection in the
    middle of the reply.
    """

    def __init__(self, listens_at: Path | int, leads_to: Path | int) -> None:
        self._listens_at, self._leads_to = listens_at, leads_to
        self._mode: Mode = "open"
        self._writers: set[asyncio.StreamWriter] = set()
        self._thaw = asyncio.Event()
        self._thaw.set()

    async def listen(self) -> None:
        if isinstance(self._listens_at, Path):
            await asyncio.start_unix_server(self._relay, self._listens_at)
        else:
            await asyncio.start_server(self._relay, "127.0.0.1", self._listens_at)

    async def set_mode(self, mode: Mode) -> None:
        self._mode = mode
        if mode == "frozen":
            self._thaw.clear()
        else:
            self._thaw.set()
        if mode == "refused":
            await self.reset()

    async def reset(self) -> None:
        """End all connections, as a router that was restarted does."""
        for writer in self._writers:
            writer.transport.abort()

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            if self._mode == "refused":
                return
            far_reader, far_writer = await self._reach()
            self._writers.add(far_writer)
            try:
                ways = (self._pass(reader, far_writer), self._pass(far_reader, writer, back=True))
                tasks = [asyncio.create_task(way) for way in ways]
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
            finally:
                far_writer.transport.abort()
                self._writers.discard(far_writer)
        except OSError:
            pass  # nobody listens there: this connection ends too, as without a relay
        finally:
            writer.transport.abort()
            self._writers.discard(writer)

    async def _reach(self) -> Streams:
        if isinstance(self._leads_to, Path):
            return await asyncio.open_unix_connection(self._leads_to)
        return await asyncio.open_connection("127.0.0.1", self._leads_to)

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, back: bool = False
    ) -> None:
        while piece := await reader.read(PIECE_BYTES):
            await self._thaw.wait()
            if back and self._mode == "halved":
                writer.write(piece[: len(piece) // 2])
                await writer.drain()
                return
            writer.write(piece)
            await writer.drain()


class Network:
    """The links of one stack, in a thread of their own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def link(self, listens_at: Path | int, leads_to: Path | int) -> Link:
        link = Link(listens_at, leads_to)
        self.do(link.listen())
        return link

    def do(self, step: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(step, self._loop).result(10)

    def end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
