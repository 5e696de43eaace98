"""The server's address: one port that answers for as long as the launcher runs.

vLLM listens on another port, on the loopback interface. While no server is ready, requests are
answered with the reason. A newer server takes over without a gap: it gets the new connections, and
the old server keeps its own. Bytes are passed on as they come, and nothing is read out of them.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import resource
import socket
import threading
import time
from contextlib import ExitStack
from types import TracebackType
from typing import Self

from contract.stand_in import Kind, Reason, standing_in

log = logging.getLogger("inference")

LOOPBACK = "127.0.0.1"
# Connections that may wait to be accepted; a worker may open CONCURRENCY of them at once.
BACKLOG = 2048
# Every connection takes two open files here.
OPEN_FILES = 65536
# At the end, clients have this long to read what the server has answered.
READ_S = 5.0
POLL_S = 0.02
# What stays as it is, is logged again after this time.
SAY_EVERY_S = 30.0
TRY_AGAIN_S = 1.0


def listen(host: str, port: int, stop: threading.Event) -> socket.socket | None:
    """The listening socket, once the port is free; None if a stop was requested before."""
    said_at = float("-inf")
    while not stop.is_set():
        try:
            if ":" not in host:
                return socket.create_server((host, port), backlog=BACKLOG)
            return socket.create_server(
                (host, port),
                family=socket.AF_INET6,
                backlog=BACKLOG,
                dualstack_ipv6=socket.has_dualstack_ipv6(),  # :: answers IPv4 too, as in vLLM
            )
        except OSError as error:
            remedy = "look at INFERENCE_HOST and INFERENCE_PORT"
            if error.errno == errno.EADDRINUSE:
                remedy = "end the program that uses it, or set INFERENCE_PORT"
            code = error.errno or 0  # negative if the host has no address
            reason = os.strerror(code) if code > 0 else error.strerror
            if time.monotonic() - said_at > SAY_EVERY_S:
                said_at = time.monotonic()
                log.error(
                    "port %d of %s cannot be used (%s): %s",
                    port,
                    host,
                    reason,
                    remedy,
                )
        stop.wait(TRY_AGAIN_S)
    return None


class Front:
    """Answers on a listening socket until its context ends. At first it tells a reason."""

    def __init__(self, listening: socket.socket) -> None:
        self._listening = listening
        self._loop = asyncio.new_event_loop()
        self._ends = ExitStack()
        self._reason = Reason("", "starting")
        self.port = self._stand_in = 0
        self.passing: set[_End] = set()  # clients' ends of connections to a server

    def __enter__(self) -> Self:
        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        wanted = OPEN_FILES if most == resource.RLIM_INFINITY else min(OPEN_FILES, most)
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))
        self._stand_in = self._ends.enter_context(standing_in(LOOPBACK, 0, lambda: self._reason))
        self.port = self._stand_in
        thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        thread.start()
        self._ends.callback(self._loop.close)
        self._ends.callback(thread.join)
        self._ends.callback(self._loop.call_soon_threadsafe, self._loop.stop)
        server = self._loop.create_server(lambda: _End(self), sock=self._listening, backlog=BACKLOG)
        asyncio.run_coroutine_threadsafe(server, self._loop).result()
        self._ends.callback(self._let_read)
        return self

    def _let_read(self) -> None:
        """Wait until clients have read the replies of a server that has ended."""
        until_s = time.monotonic() + READ_S
        while self.passing and time.monotonic() < until_s:
            time.sleep(POLL_S)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ends.close()
        self._listening.close()

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        host, port = self._listening.getsockname()[:2]
        return host, port

    def tell(self, text: str, kind: Kind) -> None:
        """Answer new requests with this text."""
        self._reason = Reason(text, kind)
        self.port = self._stand_in

    @property
    def is_passing(self) -> bool:
        """True if new connections are passed to a server."""
        return self.port != self._stand_in

    def pass_to(self, port: int) -> None:
        """Pass new connections to this port of the loopback interface."""
        self.port = port


class _End(asyncio.Protocol):
    """One end of a passed connection. What it receives is written to the other end.

    The client's end is made with the front, and connects the other end itself.
    """

    def __init__(self, front: Front | None = None, other: _End | None = None) -> None:
        self._front = front
        self._other = other
        self._connecting: asyncio.Task[None] | None = None
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        if self._front is not None:
            if self._front.is_passing:
                self._front.passing.add(self)
            transport.pause_reading()
            connecting = self._connect(transport, self._front.port)
            self._connecting = asyncio.get_running_loop().create_task(connecting)

    async def _connect(self, transport: asyncio.Transport, port: int) -> None:
        loop = asyncio.get_running_loop()
        try:
            _, self._other = await loop.create_connection(lambda: _End(other=self), LOOPBACK, port)
        except OSError:  # the server has just died; its client asks again
            transport.abort()
        else:
            if transport.is_closing():
                self._end_other()
            else:
                transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        if self._other is not None and self._other.transport is not None:
            self._other.transport.write(data)

    def pause_writing(self) -> None:
        if self._other is not None and self._other.transport is not None:
            self._other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self._other is not None and self._other.transport is not None:
            self._other.transport.resume_reading()

    def connection_lost(self, error: Exception | None) -> None:
        if self._front is not None:
            self._front.passing.discard(self)
        self._end_other()

    def _end_other(self) -> None:
        if self._other is None or self._other.transport is None:
            return
        if self._front is not None:
            self._other.transport.abort()  # nobody reads the server's reply any more
        else:
            self._other.transport.close()  # what is not written yet is written first
