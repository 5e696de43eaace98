"""Draws a teacher's samples, many at a time. The teacher is not trusted: if it refuses a question,
or its reply cannot be read, only that question fails.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, NamedTuple

import httpx2
import openai
from openai import AsyncOpenAI, DefaultAsyncHttpxClient

from contract import Message, PromptFormat, finite
from contract.addresses import is_near
from trainer.data.examples import Example
from trainer.distilling.journal import Drawn, Teacher, Wanted, question_key
from trainer.errors import TrainerError

HINT = "\n\n（正确选项是 {label}。请从题目出发写出得到它的完整推理，不要提到你事先知道答案。）"
# A teacher that fails so many questions in a row, without refusing them, is out of order.
OUT_OF_ORDER_AFTER = 20
LONGEST_WORDS = 300
# Finish reasons by which servers say that the model ended its reply itself.
_ENDED = (None, "", "stop", "eos", "eos_token", "end_turn", "stop_sequence")


class Failure(NamedTuple):
    """A request that brought no sample. `refused`: asking again would bring none either."""

    key: str
    hinted: bool
    error: str
    refused: bool


class _UnreadableError(Exception):
    """A reply that holds no completion."""


async def draw(
    examples: Sequence[Example],
    todo: Sequence[Wanted],
    fmt: PromptFormat,
    teacher: Teacher,
    each: Callable[[Drawn | Failure], None],
) -> None:
    """Draw all of `todo`, `teacher.concurrency` at a time, and call `each` with every sample and
    every failure as it comes. A refused question is not asked for its other samples.

    Raises:
        TrainerError: the teacher cannot be reached, does not know the key or the model, or is out
            of order. All that came before went to `each`.
    """
    by_key = {question_key(example): example for example in examples}
    failing: dict[str, str] = {}
    async with AsyncOpenAI(
        base_url=teacher.url,
        api_key=teacher.api_key,
        timeout=teacher.timeout_s,
        max_retries=5,
        http_client=_http(teacher.url),
    ) as client:
        try:
            async for found in _draw_all(client, by_key, todo, fmt, teacher):
                each(found)
                if isinstance(found, Drawn):
                    failing.clear()
                elif not found.refused:
                    failing[found.key] = found.error
                if len(failing) >= OUT_OF_ORDER_AFTER:
                    raise _failed(teacher, f"{len(failing)} questions in a row: {found}")
        except (openai.OpenAIError, httpx2.HTTPError) as error:
            raise _failed(teacher, str(error)) from error


def _failed(teacher: Teacher, why: str) -> TrainerError:
    return TrainerError(
        f"the teacher {teacher.model} at {teacher.url} failed: {why}. Its replies so far are "
        "saved; the same command continues from there."
    )


def _http(url: str) -> httpx2.AsyncClient:
    """Raises TrainerError if the environment names a proxy that cannot be used."""
    try:
        return DefaultAsyncHttpxClient(trust_env=not is_near(url))
    except (ImportError, ValueError, httpx2.InvalidURL) as error:
        raise TrainerError(
            f"the proxy in the environment (all_proxy, http_proxy or https_proxy) cannot be used "
            f"for {url}: {error}"
        ) from error


async def _draw_all(
    client: AsyncOpenAI,
    by_key: dict[str, Example],
    todo: Sequence[Wanted],
    fmt: PromptFormat,
    teacher: Teacher,
) -> AsyncIterator[Drawn | Failure]:
    refused: set[str] = set()
    left = (one for one in todo if one.key not in refused)
    running: set[asyncio.Task[Drawn | Failure]] = set()
    try:
        while True:
            while len(running) < teacher.concurrency and (one := next(left, None)):
                asking = _ask(client, by_key[one.key], one, fmt, teacher)
                running.add(asyncio.create_task(asking))
            if not running:
                return
            done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            # finished samples are handed on before an exception ends the run
            for task in sorted(done, key=lambda task: task.exception() is not None):
                found = task.result()
                if isinstance(found, Failure) and found.refused:
                    refused.add(found.key)
                yield found
    finally:
        for task in running:
            task.cancel()


async def _ask(
    client: AsyncOpenAI, example: Example, one: Wanted, fmt: PromptFormat, teacher: Teacher
) -> Drawn | Failure:
    """Raises only errors that concern every question: no connection, a wrong key, no such model."""
    messages: list[Message] = fmt.messages(example.problem, example.question)
    if one.hinted:
        last = messages[-1]
        hint = HINT.replace("{label}", example.label)
        messages = [*messages[:-1], {"role": "user", "content": last["content"] + hint}]
    try:
        reply = await client.chat.completions.with_raw_response.create(
            model=teacher.model,
            messages=messages,  # type: ignore[arg-type] # ours names all three roles in one type
            temperature=teacher.temperature,
            max_tokens=teacher.max_tokens,
            seed=teacher.seed + one.sample,
        )
        text, finish_reason = read_reply(reply.content)
    except (openai.AuthenticationError, openai.PermissionDeniedError, openai.NotFoundError):
        raise
    except openai.APIStatusError as error:
        refused = error.status_code < 500 and error.status_code not in (408, 409, 429)
        said = str(error)
        if said == f"Error code: {error.status_code}":  # the client could not read the message
            said = f"{said} - {error.response.text.strip()}"
        return Failure(one.key, one.hinted, _shortened(said), refused)
    except (openai.APITimeoutError, _UnreadableError) as error:
        return Failure(one.key, one.hinted, _shortened(str(error)), refused=False)
    return Drawn(*one, text, finish_reason)


def read_reply(body: bytes) -> tuple[str, str]:
    """Text and finish reason of a chat reply's first completion. Reasoning in a field of its own is
    not part of the text.

    Raises:
        _UnreadableError: there is no completion; its message quotes the server.
    """
    try:
        # not the strict reader: half a surrogate pair in a text does no harm elsewhere
        found = json.loads(body)
    except (ValueError, RecursionError) as error:
        words = body[:LONGEST_WORDS].decode("utf-8", "replace").strip()
        raise _UnreadableError(f"the reply is not JSON ({error}): {words!r}") from None
    choices = found.get("choices") if isinstance(found, dict) else None
    first = choices[0] if isinstance(choices, list) and choices else None
    message = first.get("message") if isinstance(first, dict) else None
    if not isinstance(first, dict) or not isinstance(message, dict):
        words = json.dumps(finite(found), allow_nan=False)
        raise _UnreadableError(f"the reply holds no completion: {words}")
    reason = first.get("finish_reason")
    return _text(message.get("content")), "stop" if reason in _ENDED else str(reason)


def _text(content: Any) -> str:
    """`content`, or its parts' texts if it is a list; without halves of surrogate pairs."""
    if isinstance(content, list):
        parts = [part.get("text") for part in content if isinstance(part, dict)]
        content = "".join(part for part in parts if isinstance(part, str))
    text = content if isinstance(content, str) else ""
    return text.encode("utf-8", "replace").decode("utf-8")


def _shortened(text: str) -> str:
    return text if len(text) <= LONGEST_WORDS else text[: LONGEST_WORDS - 3] + "..."
