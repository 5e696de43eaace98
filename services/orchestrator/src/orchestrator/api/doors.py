"""Checks before the API reads a request: its host must be ours, its body within limits.

Another site may let its own name resolve to this machine (DNS rebinding). The browser then treats
the API as part of that site, and the site's page may call everything. The Host header still holds
that site's name, so only names known to be ours are served. An IP address is always served: a page
that was loaded from an address can only call that address.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Collection
from contextlib import suppress
from http import HTTPStatus

from fastapi import Request
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from orchestrator.api.refusals import render_error
from orchestrator.errors import BodyTooLargeError, BodyTooSlowError, OtherHostError
from orchestrator.settings import is_address

# A body may pause this long. Its total time may be this plus its size divided by the least speed.
IDLE_S = 60.0
LEAST_BYTES_PER_S = 1024
# For calls without a file, whose bodies are held in memory.
SHORT_BODY_BYTES = 64 << 10
RANGE = b"content-range"
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::[0-9]{1,5})?")


class Doors:
    """ASGI middleware that refuses other hosts, and bodies that are too large or too slow.

    `names` are the API's host names, in lower case.
    """

    def __init__(self, app: ASGIApp, names: Collection[str], max_upload_mib: int) -> None:
        self._app = app
        self._names = names
        self._max_upload_mib = max_upload_mib

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = [value.decode("latin-1") for name, value in scope["headers"] if name == b"host"]
        if not _is_ours(given, self._names):
            refusal = render_error(Request(scope), OtherHostError(", ".join(given)))
            await refusal(scope, receive, send)
            return
        # if the sender of an upload went away, that is not an error, and nobody waits for a reply
        with suppress(ClientDisconnect):
            await self._app(
                scope, self._limited(scope, receive), _as_problems(scope, receive, send)
            )

    def _limited(self, scope: Scope, receive: Receive) -> Receive:
        limit = self._max_upload_mib << 20
        if scope["path"] != "/jobs":
            limit = min(limit, SHORT_BODY_BYTES)
        told = dict(scope["headers"]).get(b"content-length", b"")
        is_told_too_large = told.isdigit() and int(told) > limit
        began, received, is_whole = time.monotonic(), 0, False

        async def receive_within_limits() -> Message:
            nonlocal received, is_whole
            if is_whole:  # the next message is the end of the connection
                return await receive()
            if is_told_too_large:
                raise BodyTooLargeError(limit)
            left_s = began + IDLE_S + received / LEAST_BYTES_PER_S - time.monotonic()
            try:
                message = await asyncio.wait_for(receive(), min(IDLE_S, left_s))
            except TimeoutError:
                raise BodyTooSlowError(received, time.monotonic() - began) from None
            received += len(message.get("body", b""))
            is_whole = not message.get("more_body", False)
            if received > limit:
                raise BodyTooLargeError(limit)
            return message

        return receive_within_limits


def _as_problems(scope: Scope, receive: Receive, send: Send) -> Send:
    """`send`, but Starlette's plain-text refusals (of ranges) become problem details."""
    held: Message | None = None

    async def send_problem(message: Message) -> None:
        nonlocal held
        if message["type"] == "http.response.start" and message["status"] >= 400:
            headers = dict(message["headers"])
            if headers.get(b"content-type", b"").startswith(b"text/plain"):
                held = message
                return
        if held is None:
            await send(message)
            return
        said = message.get("body", b"").decode() or HTTPStatus(held["status"]).phrase
        kept = {name.decode(): value.decode() for name, value in held["headers"] if name == RANGE}
        refusal = render_error(Request(scope), HTTPException(held["status"], said, kept))
        await refusal(scope, receive, send)

    return send_problem


def _is_ours(given: list[str], names: Collection[str]) -> bool:
    found = _HOST.fullmatch(given[0]) if len(given) == 1 else None
    if found is None:
        return False
    host = found[1].lower().removesuffix(".")
    return host in names or is_address(host.strip("[]"))
