"""Which models a server lists, and what to do if the one that is wanted is not among them."""

from __future__ import annotations

from difflib import get_close_matches
from http import HTTPStatus
from weakref import WeakKeyDictionary

import httpx2
import openai
from openai import AsyncOpenAI
from pydantic import BaseModel, ValidationError

from contract import Sentence
from orchestrator.adapting import learned
from orchestrator.addresses import better_address, moved
from orchestrator.errors import OtherModelServedError, WaitingForModelError

NO_SUCH_CALL = (HTTPStatus.NOT_FOUND, HTTPStatus.METHOD_NOT_ALLOWED, HTTPStatus.NOT_IMPLEMENTED)
SHOWN_CHARS = 80
SHOWN_NAMES = 5


class _Entry(BaseModel):
    id: str


class _Listing(BaseModel):
    data: list[_Entry]


async def check_is_listed(client: AsyncOpenAI, name: str, *, is_published: bool) -> None:
    """Return if the server lists the model, or lists none and accepts a request for it.

    Raises:
        OtherModelServedError: it serves other models.
        WaitingForModelError: its list cannot be read.
        openai.APIError: it cannot be reached, or refuses the key.
    """
    found = await _listed(client)
    if name in found:
        return
    if found:
        reason = _not_served(str(client.base_url), found, name, is_published=is_published)
        raise OtherModelServedError(reason, found)
    if not await _answers_to(client, name):
        reason = Sentence(
            "lists-no-models",
            "the model server at {url} lists no models and takes no chat request for {model}: look "
            "at MODEL_NAME, and at INFERENCE_URL, which mostly ends in /v1",
            url=str(client.base_url),
            model=name,
        )
        raise OtherModelServedError(await _advised(client, reason))


def _not_served(url: str, listed: list[str], name: str, *, is_published: bool) -> Sentence:
    near = get_close_matches(name, listed, SHOWN_NAMES, cutoff=0)
    names = ", ".join(near)
    if len(listed) > len(near):
        others = len(listed) - len(near)
        names = Sentence("and-others", "{names} and {others} others", names=names, others=others)
    if not is_published:
        return Sentence(
            "serves-other-models",
            "the model server at {url} serves {names}, not {model}: set MODEL_NAME to a name that "
            "it lists",
            url=url,
            names=names,
            model=name,
        )
    return Sentence(
        "serves-other-weights",
        "the model server at {url} serves {names}, not {model} yet: it takes up what is published "
        "once no job asks for other weights; or set MODEL_NAME",
        url=url,
        names=names,
        model=name,
    )


async def _listed(client: AsyncOpenAI) -> list[str]:
    """The model names that the server lists; empty if it has no list."""
    try:
        reply = await client.get("/models", cast_to=httpx2.Response)
    except openai.APIStatusError as error:
        if error.status_code in NO_SUCH_CALL:
            return []
        raise
    try:
        return [entry.id for entry in _Listing.model_validate_json(reply.content).data]
    except ValidationError as error:
        reason = Sentence(
            "no-list-of-models",
            "the model server at {url} does not answer /models with a list of models but with "
            "{shown!r}; INFERENCE_URL must be an OpenAI API, which ends in /v1",
            url=str(client.base_url),
            shown=reply.text[:SHOWN_CHARS].strip(),
        )
        raise WaitingForModelError(await _advised(client, reason)) from error


# The better address for each client and address, or None. A poll asks every few seconds, and each
# look takes up to four requests; so it is looked for once in a client's life.
_found: WeakKeyDictionary[AsyncOpenAI, dict[str, str | None]] = WeakKeyDictionary()


async def _advised(client: AsyncOpenAI, reason: Sentence) -> Sentence:
    """`reason`, and the address at which this server has its API, if there is one."""
    found, own = _found.setdefault(client, {}), str(client.base_url)
    if own not in found:
        found[own] = await _better_address(client)
    url = found[own]
    return reason if url is None else moved(reason, url)


async def _better_address(client: AsyncOpenAI) -> str | None:

    async def lists_models(url: str) -> bool:
        try:
            reply = await client.get(f"{url}/models", cast_to=httpx2.Response)
            _Listing.model_validate_json(reply.content)
        except (openai.AuthenticationError, openai.PermissionDeniedError):
            return True  # only a path that is there asks for a key
        except (openai.APIError, ValidationError):
            return False
        return True

    return await better_address(str(client.base_url), lists_models)


async def _answers_to(client: AsyncOpenAI, name: str) -> bool:
    """True if a server that lists no models (transformers' own) accepts a request for this one, or
    refuses no more than `max_tokens`.
    """
    try:
        await client.chat.completions.create(
            model=name, messages=[{"role": "user", "content": "?"}], max_tokens=1
        )
    except openai.APIStatusError as error:
        asked = {"messages": [{"role": "user", "content": "?"}], "max_tokens": 1}
        if error.status_code == 400:
            return learned(asked, error.response.content) is not None
        if error.status_code == 404:
            return False
        raise
    return True
