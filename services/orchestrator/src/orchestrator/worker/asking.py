"""Requests to the model server: completions, and replies restricted to labels.

The first requests show the server's abilities: if it draws several samples in one request, and how
it can restrict a reply to given choices. All sampling values are sent, so a server's defaults have
no effect, except for a parameter that it refuses.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine, Iterable, Mapping
from typing import Any, TypeVar

from contract import Message, Sentence, split_reasoning
from orchestrator.coordination.metering import Meter
from orchestrator.model import ServedModel
from orchestrator.replies import Completion
from orchestrator.worker.connections import Body, Connections
from orchestrator.worker.endpoint import Endpoint, Limits
from orchestrator.worker.failures import RequestFailedError
from orchestrator.worker.learning import Learned

TOP_LOGPROBS = 20
_NO_WAY_TO_HOLD = Sentence("no-way-to-hold", "this server knows no way to hold a reply to labels")

_NO_WAY_TO_SETS = Sentence(
    "no-way-to-hold-sets",
    "this server cannot hold a reply to several labels: it knows no structured_outputs, no "
    "guided_choice and no JSON schema",
)

Result = TypeVar("Result")


class Server:
    """The model server, used by one shard."""

    def __init__(
        self,
        connections: Connections,
        model: ServedModel,
        meter: Meter,
        limits: Limits | None = None,
        learned: Learned | None = None,
        *,
        log_prompts: bool = False,
    ) -> None:
        self.model = model
        self.endpoint = Endpoint(
            connections,
            model.name,
            meter,
            limits or Limits(),
            learned or Learned(),
            log_prompts=log_prompts,
        )
        self._ways_to_hold = [
            self._structured_outputs,
            self._guided_choice,
            self._likeliest,
            self._json_schema,
        ]

    async def draw(
        self, messages: list[Message], count: int, seed: int, *, logprobs: bool, **values: Any
    ) -> list[Completion]:
        """`count` replies with the seeds `seed`, `seed` + 1 ...: by one request if the server draws
        several samples, else by one request each.

        Raises:
            RequestFailedError: the server refuses it, or it failed up to the limits.
            OtherModelServedError: the server was restarted with other weights.
        """
        body: Body = {"messages": messages, **values}
        if logprobs:
            body["logprobs"] = True
        drawn: list[Completion] = []
        if count > 1 and self.endpoint.draws_several:
            drawn = (await self.endpoint.complete({**body, "n": count, "seed": seed}))[:count]
            if len(drawn) < count:
                self.endpoint.draw_singly()
        rest = (
            self.endpoint.complete({**body, "n": 1, "seed": seed + i})
            for i in range(len(drawn), count)
        )
        for one in await all_of(rest):
            drawn += one[:1]
        return drawn

    async def choose(
        self, messages: list[Message], lead: str, choices: Mapping[str, str], seed: int
    ) -> Completion:
        """The label, or set of labels, after `lead` in a greedy reply that begins with `lead`.

        `choices` maps the texts that may follow to their labels.

        Raises:
            RequestFailedError: no way works on this server, or the last way failed.
            OtherModelServedError: the server was restarted with other weights.
        """
        asked: list[Message] = [*messages, {"role": "assistant", "content": lead}]
        failure = RequestFailedError(_NO_WAY_TO_HOLD)
        for way in tuple(self._ways_to_hold):
            try:
                completion = await way(asked, choices, seed)
            except RequestFailedError as error:
                failure = error
                continue
            if completion is not None:
                # earlier ways fail on this server; if none works, the question may be the cause
                if way in self._ways_to_hold:
                    del self._ways_to_hold[: self._ways_to_hold.index(way)]
                return completion
        raise failure

    async def _structured_outputs(
        self, messages: list[Message], choices: Mapping[str, str], seed: int
    ) -> Completion | None:
        return await self._held(
            messages, choices, seed, {"structured_outputs": {"choice": list(choices)}}
        )

    async def _guided_choice(
        self, messages: list[Message], choices: Mapping[str, str], seed: int
    ) -> Completion | None:
        return await self._held(messages, choices, seed, {"guided_choice": list(choices)})

    async def _held(
        self, messages: list[Message], choices: Mapping[str, str], seed: int, how: Body
    ) -> Completion | None:
        """None if the reply is not a label: the server does not know `how` and ignored it."""
        completion = await self._continue(messages, seed, how, max_tokens=8, is_optional=True)
        label = _stripped(choices).get(completion.text.strip())
        return completion._replace(text=label) if label else None

    async def _likeliest(
        self, messages: list[Message], choices: Mapping[str, str], seed: int
    ) -> Completion | None:
        """The label with the highest log-probability among the likeliest next tokens; None if no
        label is among them. The next token says nothing about a set: it may be its first label.
        """
        if any(len(label) > 1 for label in choices.values()):
            raise RequestFailedError(_NO_WAY_TO_SETS)
        asked = {"logprobs": True, "top_logprobs": TOP_LOGPROBS}
        completion = await self._continue(messages, seed, asked, max_tokens=1)
        first = completion.likeliest.items()
        of_label = {token.strip(): logprob for token, logprob in reversed(first)}
        known = [text for text in _stripped(choices) if text in of_label]
        if not known:
            return None
        return completion._replace(text=_stripped(choices)[max(known, key=of_label.__getitem__)])

    async def _json_schema(
        self, messages: list[Message], choices: Mapping[str, str], seed: int
    ) -> Completion | None:
        """The label in a JSON object, OpenAI's way: it needs no server that continues a reply, and
        leaves a model room to reason. None if the reply is no such object.
        """
        labels = list(dict.fromkeys(choices.values()))
        schema = {
            "type": "object",
            "properties": {"answer": {"type": "string", "enum": labels}},
            "required": ["answer"],
            "additionalProperties": False,
        }
        named = {"name": "answer", "strict": True, "schema": schema}
        body = {
            "messages": messages[:-1],
            **_greedy(self.model.sampling.max_tokens, seed),
            "response_format": {"type": "json_schema", "json_schema": named},
        }
        completion = (await self.endpoint.complete(body, is_optional=True))[0]
        label = _answer_in(completion.text)
        return completion._replace(text=label) if label in labels else None

    async def _continue(
        self,
        messages: list[Message],
        seed: int,
        how: Body,
        *,
        max_tokens: int,
        is_optional: bool = False,
    ) -> Completion:
        """One greedy reply that continues the last message."""
        going_on = {"add_generation_prompt": False, "continue_final_message": True}
        body = {"messages": messages, **_greedy(max_tokens, seed), **going_on, **how}
        return (await self.endpoint.complete(body, is_optional=is_optional))[0]


def _greedy(max_tokens: int, seed: int) -> Body:
    return {"temperature": 0.0, "top_p": 1.0, "max_tokens": max_tokens, "n": 1, "seed": seed}


def _answer_in(text: str) -> str:
    """The answer in a JSON object; empty if there is none."""
    try:
        found = json.loads(split_reasoning(text)[1] or "")
    except (ValueError, RecursionError):
        return ""
    answer = found.get("answer") if isinstance(found, dict) else None
    return answer if isinstance(answer, str) else ""


def _stripped(choices: Mapping[str, str]) -> dict[str, str]:
    """The choices without surrounding spaces, which only some tokenizers join with the label."""
    return {text.strip(): label for text, label in choices.items()}


async def all_of(coroutines: Iterable[Coroutine[Any, Any, Result]]) -> list[Result]:
    """The results of all. If one fails, the others are cancelled and its error is raised."""
    several = list(coroutines)
    if len(several) == 1:  # a task costs time
        return [await several[0]]
    tasks = [asyncio.ensure_future(coroutine) for coroutine in several]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
