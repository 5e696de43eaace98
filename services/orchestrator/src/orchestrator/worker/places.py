"""Where a job's voters are asked: the model server, and the other addresses of a panel."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import NamedTuple

from openai import AsyncOpenAI

from orchestrator.errors import WaitingForModelError
from orchestrator.model import make_client
from orchestrator.panels import no_such_key
from orchestrator.settings import Settings
from orchestrator.worker.connections import Connections, connections


class Place(NamedTuple):
    """An address, with the client that checks it and the connections for requests."""

    client: AsyncOpenAI
    connections: Connections


class Places:
    """Opened as voters need them. Closed together."""

    def __init__(self, settings: Settings, stack: AsyncExitStack) -> None:
        self._settings = settings
        self._stack = stack
        self._open: dict[tuple[str | None, str | None], Place] = {}

    async def at(self, url: str | None, key: str | None = None) -> Place:
        """The place at an address; None is the model server. `key` names a key in PANEL_API_KEYS.

        Raises:
            WaitingForModelError: the key is not there any more.
        """
        if (url, key) not in self._open:
            settings = self._settings if url is None else self._settings_for(url, key)
            self._open[url, key] = Place(
                await self._stack.enter_async_context(make_client(settings)),
                await self._stack.enter_async_context(connections(settings)),
            )
        return self._open[url, key]

    def _settings_for(self, url: str, key: str | None) -> Settings:
        """The settings, as they would be for this address alone. The model server's key is not sent
        to it, nor are THINKING and EXTRA_BODY, which are in the words of the model server.
        """
        if key is not None and key not in self._settings.panel_api_keys:
            raise WaitingForModelError(no_such_key(key))
        own = self._settings.panel_api_keys[key] if key is not None else ""
        return self._settings.model_copy(
            update={
                "inference_url": url,
                "inference_api_key": own,
                "thinking": "auto",
                "extra_body": {},
            }
        )


@asynccontextmanager
async def places(settings: Settings) -> AsyncIterator[Places]:
    async with AsyncExitStack() as stack:
        yield Places(settings, stack)
