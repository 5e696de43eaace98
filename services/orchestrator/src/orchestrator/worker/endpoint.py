"""Requests to the model server, each repeated until it is answered or given up.

If the server is away or unfit, requests wait for it. A parameter that it refuses is left out or
renamed where that can be done (`orchestrator.adapting`). A request is given up if the server
refuses it all the same, or if it keeps failing while the server answers others. Then its question
fails with the server's own words.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

import structlog

from contract import Sentence
from orchestrator.adapting import NEARLY_GREEDY, SINGLY, Adaptation, names_logprobs
from orchestrator.coordination.metering import Meter
from orchestrator.coordination.waiting import waiting_for_model
from orchestrator.errors import OtherModelServedError
from orchestrator.replies import (
    Completion,
    UnusableReplyError,
    read_completions,
    retry_after_s,
    server_words,
)
from orchestrator.worker.connections import Body, Connections, NoReplyError, Reply
from orchestrator.worker.failures import (
    NOT_ALLOWED_TO,
    NOT_FOUND,
    RATE_LIMIT,
    REFUSED,
    Failure,
    RequestFailedError,
    answers_with,
    given_up,
    refused_for_good,
    with_redirect,
)
from orchestrator.worker.learning import Learned

log = structlog.get_logger("quorum")

FIRST_PAUSE_S = 0.5
LONGEST_WAIT_S = 10.0
SAY_AGAIN_S = 30.0
# A note does not mention failures shorter than this, or the usual time until a reply.
SILENT_FAILURE_S = 2.0
SILENCE_S = 7.0


# What one request tries to do without, and the refusal because of which it does.
Tried = dict[Adaptation, Sentence]


class Limits(NamedTuple):
    """A request is given up after `tries` tries over `over_s` seconds while others are answered."""

    tries: int = 10
    over_s: float = 300.0


class _NotAnsweredError(Exception):
    """A reply came, with the status of an error."""


class Endpoint:
    """The chat endpoint of the model server, used by one shard.

    `waits` holds, for each request that failed and is being repeated, its start time and the
    reason. `learned` is shared with the worker's other shards of the job.
    """

    def __init__(
        self,
        connections: Connections,
        model: str,
        meter: Meter,
        limits: Limits,
        learned: Learned,
        *,
        log_prompts: bool = False,
    ) -> None:
        self.model = model
        self.draws_several = SINGLY not in learned.known  # until a reply shows that it does not
        self._learned = learned
        self.waits: dict[object, tuple[float, Sentence]] = {}
        self.replied_at = time.monotonic()
        self._open = 0
        self._open_since = 0.0
        self._connections = connections
        self._meter = meter
        self._limits = limits
        self._log_prompts = log_prompts
        self._say_again_at = 0.0

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
                tried: Tried = {}
                got = await self._adapting(body, tried)
                if isinstance(got, Failure) and body["n"] > 1 and got.asks_for_less(tries):
                    one = await self._adapting({**body, "n": 1}, tried)
                    if not isinstance(one, Failure):
                        self.draw_singly(got)
                    got = one
                if not isinstance(got, Failure):
                    return got
                if got.is_refusal:
                    raise RequestFailedError(refused_for_good(got.reason))
                self.waits[wait] = (began, got.reason)
                enough = tries >= self._limits.tries and tried_at - began >= self._limits.over_s
                unable = is_optional and got.may_be_inability
                at_fault = (enough or unable) and await self._answers_others(tried_at)
                # twice in a row, because the server may have come back between the two tries
                blamed = blamed + 1 if at_fault else 0
                if blamed > 1:
                    raise RequestFailedError(given_up(tries, time.monotonic() - began, got.reason))
                self._say(got.reason)
                self._meter.add("quorum_request_retries")
                await asyncio.sleep(max(pause_s, got.retry_after_s or 0))
                pause_s = min(2 * pause_s, LONGEST_WAIT_S)

    def draw_singly(self, because: Failure | None = None) -> None:
        """Ask for one sample a request from now on: for the whole job, or for this shard alone if
        the failure may pass.
        """
        if not self.draws_several:
            return
        self.draws_several = False
        if because is None or because.is_refusal:
            self._learned.add(SINGLY, because.reason if because else "it ignores n")
        else:
            log.warning("samples are drawn singly: n > 1 fails", reason=because.reason)

    async def _adapting(self, body: Body, tried: Tried) -> list[Completion] | Failure:
        """One try, repeated at once for each parameter that is found to be left out or renamed.

        What is found is added to `tried`, and kept for the job only if the request then succeeds:
        otherwise the refusal may have been about something else. It ends, because each parameter is
        adapted once.
        """
        body = {**self._connections.thinking, **body}
        while True:
            sent = self._learned.adapted(body, tried)
            got = await self._try(sent)
            if not isinstance(got, Failure):
                for adaptation, reason in tried.items():
                    self._learned.add(adaptation, reason)
                return got
            if not got.may_be_inability:
                return got
            found = self._learned.found(body, got.body, got.status or 0, tried)
            if found is not None:
                if found.parameter == NEARLY_GREEDY.parameter:
                    tried.pop(NEARLY_GREEDY, None)
                tried[found] = got.reason
            if self._learned.adapted(body, tried) == sent:  # else by this or by another request
                return got

    @contextmanager
    def _one_wait(self) -> Iterator[object]:
        wait = object()
        if not self._open:
            self._open_since = time.monotonic()
        self._open += 1
        try:
            yield wait
        finally:
            self._open -= 1
            self.waits.pop(wait, None)

    @property
    def is_open(self) -> bool:
        """True if a request is open."""
        return self._open > 0

    @property
    def is_stuck(self) -> bool:
        """True if every open request has failed at least once and waits for its next try."""
        return 0 < self._open <= len(self.waits)

    def waits_for(self) -> Sentence | None:
        """The reason for waiting, as a job's note; None if replies come."""
        now = time.monotonic()
        since, reason = min(self.waits.values(), default=(now, ""))
        if now - since > SILENT_FAILURE_S:
            if self.is_stuck:
                return waiting_for_model(reason)
            return Sentence(
                "some-wait-for-model",
                "{waiting} of {total} requests wait for the model: {reason}",
                waiting=len(self.waits),
                total=self._open,
                reason=reason,
            )
        silence_s = now - max(self.replied_at, self._open_since)
        if self._open and silence_s > SILENCE_S:
            return Sentence(
                "waiting-for-replies",
                "waiting for replies: {count} requests to {url} are under way, and for {seconds} s "
                "none was answered",
                count=self._open,
                url=self._connections.url,
                seconds=max(int(silence_s // 10 * 10), round(SILENCE_S)),
            )
        return None

    def _say(self, reason: Sentence) -> None:
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
        got = await self._adapting(asked, {})
        # a refusal is an answer too: a reasoning model may refuse to stop after one token
        return not isinstance(got, Failure) or got.is_refusal

    async def _try(self, body: Body) -> list[Completion] | Failure:
        asked = {"model": self.model, **body, **self._connections.extra_body}
        try:
            with self._meter.asking():
                reply = await self._connections.post("chat/completions", asked)
                if not reply.is_success:
                    raise _NotAnsweredError
                completions = read_completions(reply.body)
        except _NotAnsweredError:
            return await self._refused(reply)
        except UnusableReplyError as error:
            reason = Sentence("unusable-reply", "the model server: {reason}", reason=error.sentence)
            return Failure(with_redirect(reason, reply), error.code or 200, body=reply.body)
        except TimeoutError:
            return Failure(self._no_whole_reply(), None)
        except NoReplyError as error:
            return Failure(self._no_reply(error), None)
        self.replied_at = time.monotonic()
        if self._log_prompts:
            replies = [completion.text for completion in completions]
            log.info("asked", request=asked, replies=replies)
        return completions

    async def _refused(self, reply: Reply) -> Failure:
        """The failure that an error's status means.

        Raises:
            OtherModelServedError: the status is 404, and the model is no longer listed.
        """
        listed = await self._listed() if reply.status == NOT_FOUND else None
        if listed is not None:
            if self.model not in listed:
                raise OtherModelServedError(
                    Sentence(
                        "weights-gone",
                        "the weights are no longer served: {words}",
                        words=server_words(reply.body),
                    )
                )
            reason = Sentence(
                "listed-but-404",
                "{url} lists {model} but answers 404 to chat requests; look at INFERENCE_URL and "
                "at what is in front of the server: {words}",
                url=self._connections.url,
                model=self.model,
                words=server_words(reply.body),
            )
        else:
            reason = answers_with(reply.status, reply.body, reply.url)
        about_logprobs = reply.status == NOT_ALLOWED_TO and names_logprobs(reply.body)
        status = REFUSED if about_logprobs else reply.status
        wait_s = retry_after_s(reply.headers)
        return Failure(with_redirect(reason, reply), status, wait_s, reply.body)

    def _no_whole_reply(self) -> Sentence:
        return Sentence(
            "no-whole-reply",
            "no whole reply from {url} in {seconds:g} s",
            url=self._connections.url,
            seconds=self._connections.longest_s,
        )

    def _no_reply(self, error: NoReplyError) -> Sentence:
        return Sentence(
            "no-reply", "no reply from {url}: {error}", url=self._connections.url, error=str(error)
        )

    async def _listed(self) -> list[str] | None:
        """The models that the server lists; None if it cannot be told now."""
        try:
            reply = await self._connections.get("models")
            if reply.status >= 500 or reply.status == RATE_LIMIT:
                return None
            return listed_models(json.loads(reply.body)) if reply.is_success else []
        except (NoReplyError, TimeoutError):
            return None
        except ValueError:  # it may declare JSON and send something else
            return []


def listed_models(found: object) -> list[str]:
    """The names in an answer of `/models`, which may have any form."""
    data = found.get("data") if isinstance(found, Mapping) else None
    entries = data if isinstance(data, list) else []
    names = [entry.get("id") for entry in entries if isinstance(entry, Mapping)]
    return [name for name in names if isinstance(name, str)]
