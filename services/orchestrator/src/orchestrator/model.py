"""The model that is served: its contract, and whether the server keeps it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import openai
from openai import AsyncOpenAI, DefaultAsyncHttpxClient

from contract import CONTRACT_FILE, Contract, ContractError, Probe, PromptFormat, Sampling
from contract.tenancy import NO_TRAINER, what_trains
from orchestrator.errors import OtherModelServedError, WaitingForModelError
from orchestrator.proxies import proxy_options
from orchestrator.settings import Settings


@dataclass(frozen=True)
class ServedModel:
    """What to ask the server for.

    `digest` and `probe` are None for an endpoint without a contract of ours.
    """

    name: str
    digest: str | None
    format: PromptFormat
    sampling: Sampling
    probe: Probe | None

    @classmethod
    def from_contract(cls, contract: Contract) -> ServedModel:
        return cls(
            f"{contract.model}@{contract.digest}",
            contract.digest,
            contract.format,
            contract.sampling,
            contract.probe,
        )


def find_model(settings: Settings) -> ServedModel:
    """The model the settings name: the published one, or an endpoint asked in the default format.

    Raises:
        WaitingForModelError: nothing is published (yet) under that name.
    """
    if settings.model_contract == "default":
        return ServedModel(settings.model_name, None, PromptFormat(), Sampling(), None)
    try:
        return ServedModel.from_contract(Contract.load(contract_dir(settings)))
    except ContractError as error:
        trains = what_trains(settings.models_dir)
        if trains == NO_TRAINER or (contract_dir(settings) / CONTRACT_FILE).exists():
            raise WaitingForModelError(str(error)) from error
        where = contract_dir(settings)
        raise WaitingForModelError(f"no model is published in {where} yet: {trains}") from error


def contract_dir(settings: Settings) -> Path:
    return settings.models_dir / settings.model_name / "current"


def make_client(settings: Settings) -> AsyncOpenAI:
    return AsyncOpenAI(
        base_url=settings.inference_url,
        api_key=settings.inference_api_key or "none",
        timeout=settings.request_timeout_s,
        max_retries=2,
        http_client=DefaultAsyncHttpxClient(**proxy_options(settings.inference_url)),
    )


async def check_server(client: AsyncOpenAI, model: ServedModel) -> None:
    """Return if the server is up, serves this model and tokenizes the contract's probe as the
    trainer did.

    A server without /tokenize (not vLLM) cannot be probed and is taken as it is.

    Raises:
        OtherModelServedError: it serves another model.
        WaitingForModelError: it cannot be reached, is not ready, refuses the key, or would ask the
            model something else than was trained.
    """
    where = f"the model server at {client.base_url}"
    try:
        listed = [entry.id async for entry in client.models.list()]
        if model.name not in listed and (listed or not await _answers_to(client, model.name)):
            raise OtherModelServedError(
                f"{where} serves {', '.join(listed) or 'nothing'}, not {model.name} yet: it takes "
                "up what is published once no job asks for other weights; or set MODEL_NAME",
                listed,
            )
        if model.probe is not None:
            await _check_probe(client, model, model.probe)
    except (openai.AuthenticationError, openai.PermissionDeniedError) as error:
        raise WaitingForModelError(
            f"{where} refuses the key; set INFERENCE_API_KEY to the server's ({error})"
        ) from error
    except openai.APIError as error:
        raise WaitingForModelError(f"{where} does not answer: {error}") from error


async def _answers_to(client: AsyncOpenAI, name: str) -> bool:
    """Whether a server that lists no models (transformers' own) takes a request for this one."""
    try:
        await client.chat.completions.create(
            model=name, messages=[{"role": "user", "content": "?"}], max_tokens=1
        )
    except openai.APIStatusError as error:
        if error.status_code in (400, 404):
            return False
        raise
    return True


async def server_version(client: AsyncOpenAI) -> str:
    """vLLM's version, "unknown" for a server that does not tell."""
    url = str(client.base_url).rstrip("/").removesuffix("/v1") + "/version"
    try:
        reply = await client.get(url, cast_to=object)
    except openai.APIError:
        return "unknown"
    return str(reply.get("version", "unknown")) if isinstance(reply, dict) else "unknown"


async def _check_probe(client: AsyncOpenAI, model: ServedModel, probe: Probe) -> None:
    url = str(client.base_url).rstrip("/").removesuffix("/v1") + "/tokenize"
    body = {"model": model.name, "messages": list(probe.messages), "add_generation_prompt": True}
    try:
        reply = await client.post(url, cast_to=object, body=body)
    except openai.NotFoundError:
        return
    got = tuple(reply["tokens"]) if isinstance(reply, dict) else ()
    if got != probe.token_ids:
        place = next(
            (i for i, (a, b) in enumerate(zip(got, probe.token_ids, strict=False)) if a != b), None
        )
        where = (
            f"at token {place}"
            if place is not None
            else f"in length ({len(got)}, trained {len(probe.token_ids)})"
        )
        raise WaitingForModelError(
            f"the server renders the contract's probe differently {where}: it would be asked "
            "something else than was trained. Serve the published directory itself, with its own "
            "chat template and tokenizer."
        )
