"""Ask the model server: completions, and a reply held to labels, patiently.

What a server can do is found out by asking it, once: whether it draws several samples in one
request, and how it holds a reply to given choices. Every sampling value is sent; nothing is left to
a server's defaults.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple, TypedDict

import openai
import structlog
from openai import AsyncOpenAI
from openai.types.chat import ChatCompletion
from openai.types.chat.chat_completion import Choice

from contract import Message
from orchestrator.errors import OtherModelServedError
from orchestrator.metering import Meter
from orchestrator.model import ServedModel
from orchestrator.records import JobSettings

log = structlog.get_logger("quorum")

LONGEST_WAIT_S = 10.0
SAY_AGAIN_S = 30.0
# Client errors that may pass: key, permission, a conflict or timeout on the way, rate limits.
PASSING = (401, 403, 408, 409, 425, 429)
NOT_SERVED = 404
TOP_LOGPROBS = 20


class SamplingValues(TypedDict):
    temperature: float
    top_p: float
    max_tokens: int


class Completion(NamedTuple):
    """One reply. `tokens` are its own; `logprob` is their mean, where it was asked for."""

    text: str
    finish_reason: str
    tokens: int
    prompt_tokens: int
    logprob: float | None


class CannotHoldError(Exception):
    """The server has no way that is known here to hold a reply to given choices."""


def chosen_sampling(settings: JobSettings, model: ServedModel) -> SamplingValues:
    """The poster's sampling values, and the contract's where they chose none."""
    defaults = model.sampling
    return {
        "temperature": defaults.temperature
        if settings.temperature is None
        else settings.temperature,
        "top_p": defaults.top_p if settings.top_p is None else settings.top_p,
        "max_tokens": settings.max_tokens or defaults.max_tokens,
    }


class Server:
    """The model server as one shard sees it."""

    def __init__(
        self,
        client: AsyncOpenAI,
        model: ServedModel,
        meter: Meter,
        *,
        log_prompts: bool = False,
    ) -> None:
        self.model = model
        self._meter = meter
        self._client = client
        self._log_prompts = log_prompts
        self._say_again_at = 0.0
        self._draws_several = True  # until it is seen not to
        self._ways_to_hold = [self._structured_outputs, self._guided_choice, self._likeliest]

    async def draw(
        self, messages: list[Message], count: int, seed: int, *, logprobs: bool, **values: Any
    ) -> list[Completion]:
        """`count` replies with the seeds `seed`, `seed` + 1 ...: by one request where the server
        draws several, each by its own where it does not.

        Raises:
            openai.APIStatusError: the server refuses this request, now and ever.
            OtherModelServedError: it was restarted with other weights.
        """
        if logprobs:
            values["logprobs"] = True
        drawn: list[Completion] = []
        if count > 1 and self._draws_several:
            try:
                several = await self._complete(messages, n=count, seed=seed, **values)
            except openai.APIStatusError as error:
                one = await self._complete(messages, n=1, seed=seed, **values)  # or it is at fault
                log.warning("the server refuses n > 1, samples are drawn singly", reason=str(error))
                self._draws_several = False
                drawn = _completions(one)
            else:
                drawn = _completions(several)[:count]
                if len(drawn) < count:
                    log.warning("the server ignores n, samples are drawn singly")
                    self._draws_several = False
        rest = (
            self._complete(messages, n=1, seed=seed + i, **values) for i in range(len(drawn), count)
        )
        for one in await asyncio.gather(*rest):
            drawn += _completions(one)[:1]
        return drawn

    async def choose(
        self, messages: list[Message], lead: str, labels: Sequence[str], seed: int
    ) -> Completion:
        """The reply that begins with `lead` and goes on with one of `labels`, decoded greedily.

        Raises:
            CannotHoldError: no way works on this server.
            openai.APIStatusError: the last way was refused.
        """
        asked: list[Message] = [*messages, {"role": "assistant", "content": lead}]
        while self._ways_to_hold:
            way = self._ways_to_hold[0]
            try:
                completion = await way(asked, labels, seed)
            except openai.APIStatusError:
                if len(self._ways_to_hold) == 1:
                    raise
                completion = None
            if completion is not None:
                return completion
            if self._ways_to_hold[0] is way:  # another question may have found out meanwhile
                self._ways_to_hold.pop(0)
        raise CannotHoldError

    async def _structured_outputs(
        self, messages: list[Message], labels: Sequence[str], seed: int
    ) -> Completion | None:
        return await self._held(
            messages, labels, seed, {"structured_outputs": {"choice": list(labels)}}
        )

    async def _guided_choice(
        self, messages: list[Message], labels: Sequence[str], seed: int
    ) -> Completion | None:
        return await self._held(messages, labels, seed, {"guided_choice": list(labels)})

    async def _held(
        self, messages: list[Message], labels: Sequence[str], seed: int, how: dict[str, Any]
    ) -> Completion | None:
        """None where the reply is no label: the server did not know `how`, and passed over it."""
        reply = await self._continue(messages, seed, how, max_tokens=8)
        completion = _completions(reply)[0]
        label = completion.text.strip()
        return completion._replace(text=label) if label in labels else None

    async def _likeliest(
        self, messages: list[Message], labels: Sequence[str], seed: int
    ) -> Completion | None:
        """The label with the highest log-probability among the likeliest next tokens."""
        asked = {"logprobs": True, "top_logprobs": TOP_LOGPROBS}
        reply = await self._continue(messages, seed, {}, max_tokens=1, **asked)
        found = reply.choices[0].logprobs
        first = found.content[0].top_logprobs if found and found.content else []
        of_label = {entry.token.strip(): entry.logprob for entry in reversed(first)}
        known = [label for label in labels if label in of_label]
        if not known:
            return None
        best = max(known, key=lambda label: of_label[label])
        return _completions(reply)[0]._replace(text=best)

    async def _continue(
        self, messages: list[Message], seed: int, extra: dict[str, Any], **values: Any
    ) -> ChatCompletion:
        going_on = {"add_generation_prompt": False, "continue_final_message": True}
        return await self._complete(
            messages,
            n=1,
            seed=seed,
            temperature=0.0,
            top_p=1.0,
            extra_body={**going_on, **extra},
            **values,
        )

    async def _complete(self, messages: list[Message], **parameters: Any) -> ChatCompletion:
        async def ask() -> ChatCompletion:
            completion: ChatCompletion = await self._client.chat.completions.create(
                model=self.model.name,
                messages=messages,  # type: ignore[arg-type] # the contract's messages have the API's shape
                **parameters,
            )
            return completion

        completion = await self._patiently(ask)
        if self._log_prompts:
            replies = [choice.message.content for choice in completion.choices]
            log.info("asked", messages=messages, parameters=parameters, replies=replies)
        return completion

    async def _patiently(self, ask: Callable[[], Awaitable[ChatCompletion]]) -> ChatCompletion:
        """Ask until there is a reply: a server that is gone, or not fit, is waited for.

        Raises:
            openai.APIStatusError: the server refuses this very request, now and ever.
            OtherModelServedError: the server was restarted with other weights.
        """
        wait_s = 0.5
        while True:
            try:
                with self._meter.asking():
                    completion = await ask()
                if completion.choices:
                    return completion
                reason = "a completion without choices"
            except openai.APIStatusError as error:
                if error.status_code == NOT_SERVED:
                    raise OtherModelServedError(
                        f"the weights are no longer served: {error}"
                    ) from error
                if 400 <= error.status_code < 500 and error.status_code not in PASSING:
                    raise
                reason = str(error)
            except openai.APIConnectionError as error:
                reason = str(error)
            if time.monotonic() >= self._say_again_at:  # once for all that wait
                self._say_again_at = time.monotonic() + SAY_AGAIN_S
                log.warning("the model server gives no reply, asking again", reason=reason)
            self._meter.add("quorum_request_retries")
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, LONGEST_WAIT_S)


def _completions(reply: ChatCompletion) -> list[Completion]:
    """A reply's choices; where only their tokens together are known, each has its share."""
    together = reply.usage.completion_tokens if reply.usage else 0
    prompt = reply.usage.prompt_tokens if reply.usage else 0
    count = len(reply.choices)
    return [
        Completion(
            text=choice.message.content or "",
            finish_reason=choice.finish_reason,
            tokens=together // count + (i < together % count),
            prompt_tokens=0 if i else prompt,
            logprob=_mean_logprob(choice),
        )
        for i, choice in enumerate(reply.choices)
    ]


def _mean_logprob(choice: Choice) -> float | None:
    tokens = choice.logprobs.content if choice.logprobs else None
    return math.fsum(token.logprob for token in tokens) / len(tokens) if tokens else None
