"""The served model: its contract, and the check that the server follows it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from http import HTTPStatus
from pathlib import Path
from typing import Any

import httpx2
import openai
from openai import AsyncOpenAI, DefaultAsyncHttpxClient
from pydantic import BaseModel, JsonValue, TypeAdapter, ValidationError

from contract import (
    CONTRACT_FILE,
    Contract,
    ContractError,
    HeldLine,
    Probe,
    PromptFormat,
    Sampling,
    Sentence,
)
from contract.formats import CHINESE
from contract.published import CURRENT
from contract.tenancy import NO_TRAINER, what_trains
from orchestrator.addresses import beyond_the_container, in_container
from orchestrator.errors import WaitingForModelError
from orchestrator.listing import SHOWN_CHARS, check_is_listed
from orchestrator.proxies import proxy_options
from orchestrator.replies import server_answers
from orchestrator.settings import Settings

# More than the size of 33 samples of 16,000 tokens, each token with its log-probability.
LONGEST_BODY = 128 << 20


@dataclass(frozen=True)
class ServedModel:
    """The model to ask the server for.

    `digest` and `probe` are None for an endpoint without a contract.
    """

    name: str
    digest: str | None
    format: PromptFormat
    sampling: Sampling
    probe: Probe | None
    held: HeldLine

    @classmethod
    def from_contract(cls, contract: Contract) -> ServedModel:
        return cls(
            contract.served_name,
            contract.digest,
            contract.format,
            contract.sampling,
            contract.probe,
            contract.held_line,
        )

    def asked_in(self, fmt: PromptFormat) -> ServedModel:
        """The same model, asked in another format."""
        return replace(self, format=fmt, held=HeldLine.of(fmt))


def find_model(settings: Settings) -> ServedModel:
    """The model that the settings name: the published one, or an endpoint. An endpoint's format is
    that of the job (`jobs.prompting`).

    Raises:
        WaitingForModelError: no model is published (yet) under that name, or it cannot be read.
    """
    if settings.model_contract == "default":
        held = HeldLine.of(CHINESE)
        return ServedModel(settings.model_name, None, CHINESE, Sampling(), None, held)
    try:
        return ServedModel.from_contract(Contract.load(contract_dir(settings)))
    except ContractError as error:
        trains = what_trains(settings.models_dir)
        if trains == NO_TRAINER or (contract_dir(settings) / CONTRACT_FILE).exists():
            raise WaitingForModelError(error.sentence) from error
        raise WaitingForModelError(
            Sentence(
                "no-model-yet",
                "no model is published in {folder} yet: {trainer}",
                folder=str(contract_dir(settings)),
                trainer=trains,
            )
        ) from error
    except OSError as error:
        raise WaitingForModelError(
            Sentence(
                "models-volume-unreadable",
                "the models volume cannot be read: {folder}: {error}",
                folder=str(contract_dir(settings)),
                error=str(error.strerror),
            )
        ) from error


def contract_dir(settings: Settings) -> Path:
    return settings.models_dir / settings.model_name / CURRENT


def published_dir(settings: Settings, digest: str | None) -> Path:
    """The directory of the published model with this digest, if it is there; else the current
    one's.
    """
    current = contract_dir(settings)
    own = current.parent / digest if digest else current
    return own if own.is_dir() else current


def make_client(settings: Settings) -> AsyncOpenAI:
    return AsyncOpenAI(
        base_url=settings.inference_url,
        api_key=settings.inference_api_key or "none",
        timeout=settings.request_timeout_s,
        max_retries=2,
        http_client=DefaultAsyncHttpxClient(
            event_hooks={"response": [_limit]}, **proxy_options(settings.inference_url)
        ),
    )


class _LimitedBody(httpx2.AsyncByteStream):
    def __init__(self, body: httpx2.AsyncByteStream) -> None:
        self._body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        received = 0
        async for part in self._body:
            received += len(part)
            if received > LONGEST_BODY:
                raise httpx2.ReadError(f"it sent more than {LONGEST_BODY >> 20} MiB")
            yield part

    async def aclose(self) -> None:
        await self._body.aclose()


async def _limit(response: httpx2.Response) -> None:
    """Abort a reply that is too large for memory."""
    if isinstance(response.stream, httpx2.AsyncByteStream):
        response.stream = _LimitedBody(response.stream)


class _Tokens(BaseModel):
    tokens: list[int]


# Statuses of /tokenize that may pass. Any other error status means that it cannot be used.
PASSING = (
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.TOO_MANY_REQUESTS,
    HTTPStatus.BAD_GATEWAY,
    HTTPStatus.SERVICE_UNAVAILABLE,
    HTTPStatus.GATEWAY_TIMEOUT,
)
_CLIENTS_WORDS: dict[str, str] = {
    sentence: sentence
    for sentence in (
        Sentence("connection-error", "Connection error."),
        Sentence("request-timed-out", "Request timed out."),
    )
}


async def check_server(client: AsyncOpenAI, model: ServedModel) -> str | None:
    """Return if the server is up, serves this model and tokenizes the contract's probe as the
    trainer did.

    A server without vLLM's /tokenize cannot be probed. It is accepted as it is, and the reason is
    returned.

    Raises:
        OtherModelServedError: it serves another model.
        WaitingForModelError: it cannot be reached, is not ready, refuses the key, or would give the
            model other tokens than were trained.
    """
    url = str(client.base_url)
    try:
        await check_is_listed(client, model.name, is_published=model.digest is not None)
        return None if model.probe is None else await _check_probe(client, model, model.probe)
    except (openai.AuthenticationError, openai.PermissionDeniedError) as error:
        raise WaitingForModelError(
            Sentence(
                "server-refuses-key",
                "the model server at {url} refuses the key; set INFERENCE_API_KEY to the server's "
                "({error})",
                url=url,
                error=str(error),
            )
        ) from error
    except openai.InternalServerError as error:
        raise WaitingForModelError(
            server_answers(error.status_code, error.response.content)
        ) from error
    except openai.APIError as error:
        away = Sentence(
            "server-away",
            "the model server at {url} does not answer: {error}",
            url=url,
            error=in_words(error),
        )
        if model.digest is None and isinstance(error, openai.APIConnectionError):
            away = beyond_the_container(url, away, contained=in_container())
        raise WaitingForModelError(away) from error


def in_words(error: openai.APIError) -> str:
    """An error's text. The client's own two texts get a code."""
    return _CLIENTS_WORDS.get(str(error), str(error))


async def server_version(client: AsyncOpenAI) -> str:
    """vLLM's version; "unknown" if the server does not report one."""
    try:
        reply = await client.get(_beside_v1(client, "version"), cast_to=httpx2.Response)
        found: Any = TypeAdapter(JsonValue).validate_json(reply.content)
    except (openai.APIError, ValidationError):
        return "unknown"
    return str(found.get("version", "unknown")) if isinstance(found, dict) else "unknown"


def _beside_v1(client: AsyncOpenAI, name: str) -> str:
    return f"{str(client.base_url).rstrip('/').removesuffix('/v1')}/{name}"


async def _check_probe(client: AsyncOpenAI, model: ServedModel, probe: Probe) -> str | None:
    """The reason why the server cannot be probed; None if it can.

    Raises:
        WaitingForModelError: it renders the probe differently.
    """
    try:
        url = _beside_v1(client, "tokenize")
        reply = await client.post(url, cast_to=httpx2.Response, body=probe.request(model.name))
        got = tuple(_Tokens.model_validate_json(reply.content).tokens)
    except openai.APIStatusError as error:
        if error.status_code in PASSING:
            raise
        return f"/tokenize answers {error.status_code}"
    except ValidationError:
        return f"/tokenize answers {reply.text[:SHOWN_CHARS].strip()!r}"
    if not got:  # llama.cpp's /tokenize, which does not know messages
        return "/tokenize answers no tokens"
    different = probe.difference(got)
    if different is None:
        return None
    raise WaitingForModelError(
        Sentence(
            "probe-differs",
            "the server renders the contract's probe differently {difference}: it would be asked "
            "something else than was trained. Serve the published directory itself, with its own "
            "chat template and tokenizer.",
            difference=different,
        )
    )
