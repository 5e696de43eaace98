"""The reasons why a request to the model server got no completion, and what they mean for it."""

from __future__ import annotations

from typing import NamedTuple

from contract import Sentence
from orchestrator.replies import server_answers
from orchestrator.worker.connections import Reply

# Client errors that may pass: key, balance, permission, conflict, request timeout, a failed
# generation (text-generation-inference's 424), rate limits; also the answers of a wrong address.
PASSING = (401, 402, 403, 404, 405, 408, 409, 424, 425, 429)
REFUSED = 400
NOT_AUTHORIZED = 401
NOT_ALLOWED_TO = 403
NOT_FOUND = 404
NOT_ALLOWED = 405
RATE_LIMIT = 429
TRIES_OF_SEVERAL = 3
# Besides refusals, the statuses by which a server may show that it lacks a feature.
UNABLE = (200, 500, 501)


class RequestFailedError(Exception):
    """This request will never get a reply; `sentence` is the reason."""

    def __init__(self, sentence: Sentence) -> None:
        super().__init__(sentence)
        self.sentence = sentence


class Failure(NamedTuple):
    """The reason why one try got no completion. `status` is None if no reply came; `body` is the
    reply's.
    """

    reason: Sentence
    status: int | None
    retry_after_s: float | None = None
    body: bytes = b""

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


def refused_for_good(reason: Sentence) -> Sentence:
    if "enable_thinking" in reason:  # Alibaba's servers let a model think in streams alone
        return Sentence(
            "request-refused-thinking",
            "the server refused it: {reason}; set THINKING=off",
            reason=reason,
        )
    return Sentence("request-refused", "the server refused it: {reason}", reason=reason)


def given_up(tries: int, over_s: float, reason: Sentence) -> Sentence:
    return Sentence(
        "request-given-up",
        "given up after {tries} tries in {seconds} s, while the server answers other requests: "
        "{reason}",
        tries=tries,
        seconds=round(over_s),
        reason=reason,
    )


def answers_with(status: int, body: bytes, url: str) -> Sentence:
    """An error's status and words, and what to look at if the status tells it."""
    said = server_answers(status, body)
    if status == NOT_ALLOWED:
        return Sentence(
            "takes-no-chat",
            "{reason}; {url} takes no chat requests: look at INFERENCE_URL",
            reason=said,
            url=url,
        )
    if status == NOT_AUTHORIZED:
        return Sentence("look-at-key", "{reason}; look at INFERENCE_API_KEY", reason=said)
    return said


def with_redirect(reason: Sentence, reply: Reply) -> Sentence:
    """`reason`, and where the reply came from if that is another address than the request's."""
    if not reply.is_redirected:
        return reason
    return Sentence(
        "redirected",
        "{reason}; it was redirected to {url}: set INFERENCE_URL to where it leads",
        reason=reason,
        url=reply.url,
    )
