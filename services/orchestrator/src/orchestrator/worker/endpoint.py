"""Requests to the model server, each repeated until it is answered or given up.

If the server is away or unfit, requests wait for it. A request is given up if the server refuses
it, or if it keeps failing while the server answers others. Then its question fails with the
server's own words.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import httpx2
import openai
import structlog
from openai import AsyncOpenAI

from orchestrator.coordination.metering import Meter
from orchestrator.errors import OtherModelServedError
from orchestrator.replies import (
    Completion,
    UnusableReplyError,
    read_completions,
    retry_after_s,
    server_words,
)

log = structlog.get_logger("quorum")

FIRST_PAUSE_S = 0.5
LONGEST_WAIT_S = 10.0
SAY_AGAIN_S = 30.0
# A note does not mention failures shorter than this, or the usual time until a reply.
SILENT_FAILURE_S = 2.0
SILENCE_S = 7.0
# Client errors that may pass: key, balance, permission, conflict, request timeout, a failed
# generation (text-generation-inference's 424), rate limits; also the answers of a wrong address.
PASSING = (401, 402, 403, 404, 405, 408, 409, 424, 425, 429)
NOT_FOUND = 404
NOT_ALLOWED = 405
RATE_LIMIT = 429
TRIES_OF_SEVERAL = 3
# Besides refusals, the statuses by which a server may show that it lacks a feature.
UNABLE = (200, 500, 501)

Body = dict[str, Any]


class RequestFailedError(Exception):
    """This request will never get a reply; the message is the reason."""


class Failure(NamedTuple):
    """The reason why one try got no completion. `status` is None if no reply came."""

    reason: str
    status: int | None
    retry_after_s: float | None = None

    @property
    def is_refusal(self) -> bool:
        """True if the request is at fault: the same one would be refused again."""
        status = self.status or 0
        return 400 <= status < 500 and status not in PASSING

    @property
    def may_be_inability(self) -> bool:
        """True if a server may answer this because it lacks a feature that the request needs."""
        return self.is_refusal or self.status in UNABLE

    def asks_for_less(self, tries: int) -> bool:
        """True if the same request should be tried for one sample: some servers and proxies fail if
        asked for several, which at first looks like an overload.
        """
        return self.may_be_inability or (tries >= TRIES_OF_SEVERAL and self.status != RATE_LIMIT)


class Limits(NamedTuple):
    """A request is given up after `tries` tries over `over_s` seconds while others are answered."""

    tries: int = 10
    over_s: float = 300.0


class Endpoint:
    """The chat endpoint of the model server, used by one shard.

    `waits` holds, for each request that failed and is being repeated, its start time and the
    reason.
    """

    def __init__(
        self,
        client: AsyncOpenAI,
        model: str,
        meter: Meter,
        limits: Limits,
        *,
        log_prompts: bool = False,
    ) -> None:
        self.model = model
        self.draws_several = True  # until a reply shows that it does not
        self.waits: dict[object, tuple[float, str]] = {}
        self.replied_at = time.monotonic()
        self._open = 0
        self._client = client
        self._meter = meter
        self._limits = limits
        self._log_prompts = log_prompts
        self._say_again_at = 0.0
        timeout = client.timeout
        self._longest_s = timeout if isinstance(timeout, int | float) else None

    async def complete(self, body: Body, *, is_optional: bool = False) -> list[Completion]:
        """The completions of one request, which is repeated until it gets some.

        They are fewer than `n` if the server draws one at a time. With `is_optional`, a request is
        given up once it has failed twice while plain requests are answered.

        Raises:
            RequestFailedError: the server refuses it, or it failed up to the limits.
            OtherModelServedError: the server was restarted with other weights.
        """
        began, tries, blamed, pause_s = time.monotonic(), 0, 0, FIRST_PAUSE_S
        with self._one_wait() as wait:
            while True:
                tries += 1
                tried_at = time.monotonic()
                got = await self._try(body)
                if isinstance(got, Failure) and body["n"] > 1 and got.asks_for_less(tries):
                    one = await self._try({**body, "n": 1})
                    if not isinstance(one, Failure) and self.draws_several:
                        self.draws_several = False
                        log.warning("samples are drawn singly: n > 1 fails", reason=got.reason)
                    got = one
                if not isinstance(got, Failure):
                    return got
                if got.is_refusal:
                    raise RequestFailedError(f"the server refused it: {got.reason}")
                self.waits[wait] = (began, got.reason)
                enough = tries >= self._limits.tries and tried_at - began >= self._limits.over_s
                unable = is_optional and got.may_be_inability
                at_fault = (enough or unable) and await self._answers_others(tried_at)
                # twice in a row, because the server may have come back between the two tries
                blamed = blamed + 1 if at_fault else 0
                if blamed > 1:
                    raise RequestFailedError(
                        f"given up after {tries} tries in {time.monotonic() - began:.0f} s, while "
                        f"the server answers other requests: {got.reason}"
                    )
                self._say(got.reason)
                self._meter.add("quorum_request_retries")
                await asyncio.sleep(max(pause_s, got.retry_after_s or 0))
                pause_s = min(2 * pause_s, LONGEST_WAIT_S)

    @contextmanager
    def _one_wait(self) -> Iterator[object]:
        wait = object()
        self._open += 1
        try:
            yield wait
        finally:
            self._open -= 1
            self.waits.pop(wait, None)

    @property
    def is_stuck(self) -> bool:
        """True if every open request has failed at least once and waits for its next try."""
        return 0 < self._open <= len(self.waits)

    def waits_for(self) -> str | None:
        """The reason for waiting, as a job's note; None if replies come."""
        now = time.monotonic()
        since, reason = min(self.waits.values(), default=(now, ""))
        if now - since > SILENT_FAILURE_S:
            if self.is_stuck:
                return f"waiting for the model: {reason}"
            return f"{len(self.waits)} of {self._open} requests wait for the model: {reason}"
        silence_s = now - self.replied_at
        if self._open and silence_s > SILENCE_S:
            tens = int(silence_s // 10 * 10)
            return (
                f"waiting for replies: {self._open} requests to {self._client.base_url} are under "
                f"way, and for {max(tens, round(SILENCE_S))} s none was answered"
            )
        return None

    def _say(self, reason: str) -> None:
        if time.monotonic() >= self._say_again_at:  # once for all waiting requests
            self._say_again_at = time.monotonic() + SAY_AGAIN_S
            log.warning("the model server gives no reply, asking again", reason=reason)

    async def _answers_others(self, since_s: float) -> bool:
        """True if another request was answered after `since_s`, or if a smallest one is answered
        now.
        """
        if self.replied_at > since_s:
            return True
        smallest = {"temperature": 0.0, "top_p": 1.0, "max_tokens": 1, "n": 1, "seed": 0}
        asked = {"messages": [{"role": "user", "content": "?"}], **smallest}
        return not isinstance(await self._try(asked), Failure)

    async def _try(self, body: Body) -> list[Completion] | Failure:
        asked = {"model": self.model, **body}
        try:
            # The client's own limit is between two bytes, and some servers send blanks while they
            # work.
            with self._meter.asking():
                async with asyncio.timeout(self._longest_s):
                    reply = await self._client.post(
                        "/chat/completions",
                        cast_to=httpx2.Response,
                        body=asked,
                        options={"max_retries": 0},  # complete() repeats it and keeps the note
                    )
                completions = read_completions(reply.content)
        except UnusableReplyError as error:
            reason = f"the model server: {error}{_redirect_of(reply)}"
            return Failure(reason, error.code or 200)
        except openai.APIStatusError as error:
            return await self._refused(error)
        except TimeoutError:
            where, limit_s = self._client.base_url, self._longest_s
            return Failure(f"no whole reply from {where} in {limit_s:g} s", None)
        except openai.APIConnectionError as error:
            cause = f" ({error.__cause__})" if str(error.__cause__ or "") else ""
            return Failure(f"no reply from {self._client.base_url}: {error}{cause}", None)
        self.replied_at = time.monotonic()
        if self._log_prompts:
            replies = [completion.text for completion in completions]
            log.info("asked", request=asked, replies=replies)
        return completions

    async def _refused(self, error: openai.APIStatusError) -> Failure:
        """The failure that an error's status means.

        Raises:
            OtherModelServedError: the status is 404, and the model is no longer listed.
        """
        status, words = error.status_code, server_words(error.response.content)
        reason = f"the model server answers {status}: {words}"
        if status == NOT_FOUND:
            if not await self._lists_the_model():
                raise OtherModelServedError(f"the weights are no longer served: {words}")
            reason = (
                f"{self._client.base_url} lists {self.model} but answers 404 to chat requests; "
                f"look at INFERENCE_URL and at what is in front of the server: {words}"
            )
        elif status == NOT_ALLOWED:
            reason += f"; {error.response.url} takes no chat requests: look at INFERENCE_URL"
        elif status == 401:
            reason += "; look at INFERENCE_API_KEY"
        reason += _redirect_of(error.response)
        return Failure(reason, status, retry_after_s(error.response.headers))

    async def _lists_the_model(self) -> bool:
        try:
            found = await self._client.get("/models", cast_to=object)
        except (openai.APIError, ValueError):  # it may declare JSON and send something else
            return False
        return self.model in listed_models(found)


def _redirect_of(reply: httpx2.Response) -> str:
    """A note on a reply that came from another address than the request's; else empty."""
    return (
        f"; it was redirected to {reply.url}: set INFERENCE_URL to where it leads"
        if reply.history
        else ""
    )


def listed_models(found: object) -> list[str]:
    """The names in an answer of `/models`, which may have any form."""
    data = found.get("data") if isinstance(found, Mapping) else None
    entries = data if isinstance(data, list) else []
    names = [entry.get("id") for entry in entries if isinstance(entry, Mapping)]
    return [name for name in names if isinstance(name, str)]
