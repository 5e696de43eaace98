"""The connections to the model server, shared by the shards that a worker answers: a request goes
out, a reply comes back.

Status and body are not judged here. The package openai is not used for requests: it looks at every
pooled connection for each of them, which took most of a worker's time.
"""

from __future__ import annotations

import asyncio
import json
import os
import resource
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

import aiohttp
from pydantic import JsonValue

from orchestrator.model import LONGEST_BODY
from orchestrator.proxies import certificates, proxy_for
from orchestrator.settings import Settings
from orchestrator.thinking import thinking_fields

# Idle connections are closed before uvicorn, which vLLM uses, closes them after 5 s.
KEEP_IDLE_S = 4.0
LONGEST_HEADER_BYTES = 64 << 10
# Open files that a worker needs besides connections.
OTHER_FILES = 128
Body = dict[str, Any]


class Reply(NamedTuple):
    """A whole reply of any status. `url` is where it came from; `is_redirected` is True if that is
    another address than the request's.
    """

    status: int
    body: bytes
    headers: Mapping[str, str]
    url: str
    is_redirected: bool = False

    @property
    def is_success(self) -> bool:
        return 200 <= self.status < 300


class NoReplyError(Exception):
    """No whole reply came; the text says why."""


class Connections:
    """`url` is the API's address, without a password that stands in it. A reply that takes longer
    than `longest_s` is no reply.
    """

    def __init__(self, session: aiohttp.ClientSession, settings: Settings) -> None:
        parts = urlsplit(settings.inference_url)
        near = parts._replace(netloc=parts.netloc.rpartition("@")[2])
        self.url = near.geturl().rstrip("/") + "/"
        self.longest_s = settings.request_timeout_s
        self._session = session
        self._proxy = proxy_for(settings.inference_url)
        self.extra_body: Mapping[str, JsonValue] = settings.extra_body
        # what EXTRA_BODY holds too is taken from there
        self.thinking: Body = {
            name: value
            for name, value in thinking_fields(settings.thinking).items()
            if name not in settings.extra_body
        }

    async def get(self, path: str) -> Reply:
        """Raises NoReplyError, TimeoutError."""
        return await self._ask("GET", path)

    async def post(self, path: str, body: Body) -> Reply:
        """Raises NoReplyError, TimeoutError."""
        return await self._ask("POST", path, json.dumps(body, allow_nan=False).encode())

    async def _ask(self, method: str, path: str, body: bytes | None = None) -> Reply:
        try:
            # The limit is for the whole reply: some servers send blanks while they work.
            async with (
                asyncio.timeout(self.longest_s),
                self._session.request(
                    method, self.url + path, data=body, proxy=self._proxy
                ) as response,
            ):
                return Reply(
                    response.status,
                    await _read(response),
                    response.headers,
                    str(response.url),
                    is_redirected=bool(response.history),
                )
        except aiohttp.ClientError as error:
            raise NoReplyError(_in_words(error)) from error


@asynccontextmanager
async def connections(settings: Settings) -> AsyncIterator[Connections]:
    open_files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    connector = aiohttp.TCPConnector(
        limit=max(OTHER_FILES, open_files - OTHER_FILES),
        keepalive_timeout=KEEP_IDLE_S,
        ssl=certificates(),
    )
    async with aiohttp.ClientSession(
        connector=connector,
        headers={
            "Authorization": _authorization(settings),
            "Content-Type": "application/json",
            "User-Agent": f"quorum/{version('quorum-orchestrator')}",
        },
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None),
        max_line_size=LONGEST_HEADER_BYTES,
        max_field_size=LONGEST_HEADER_BYTES,
    ) as session:
        yield Connections(session, settings)


def _authorization(settings: Settings) -> str:
    """The user and password in the address, if there are any, as other HTTP clients send them."""
    parts = urlsplit(settings.inference_url)
    if parts.username is None:
        return f"Bearer {settings.inference_api_key or 'none'}"
    password = unquote(parts.password or "")
    return aiohttp.BasicAuth(unquote(parts.username), password).encode()


async def _read(response: aiohttp.ClientResponse) -> bytes:
    """The body. One that is too large for memory is not read to its end.

    Raises:
        ClientPayloadError: it is too large, or broke off.
    """
    parts, received = [], 0
    async for part in response.content.iter_any():
        parts.append(part)
        received += len(part)
        if received > LONGEST_BODY:
            raise aiohttp.ClientPayloadError(f"it sent more than {LONGEST_BODY >> 20} MiB")
    return b"".join(parts)


def _in_words(error: aiohttp.ClientError) -> str:
    """An error's own text, or the system's for its number. aiohttp's texts may hold the proxy's
    address with its password.
    """
    if isinstance(error, aiohttp.TooManyRedirects):
        return "it redirects too often"
    if isinstance(error, aiohttp.RedirectClientError):
        return f"it redirects to {error}"
    if isinstance(error, aiohttp.ClientResponseError):
        return f"{error.status} {error.message}"
    if not isinstance(error, aiohttp.ClientOSError):
        return str(error) or type(error).__name__
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    number = cause.errno or 0
    if number > 0 and not isinstance(cause, ssl.SSLError):
        return os.strerror(number)
    return cause.strerror or str(cause) or type(cause).__name__
