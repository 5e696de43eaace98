"""Reads a model server's replies without trusting them.

Every field is optional. Unknown fields are ignored. A value of the wrong type counts as missing.
Usable parts of a reply are used. A body without a usable part raises an error with the server's own
words.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, NamedTuple, TypeVar

from pydantic import BaseModel, Field, ValidationError, ValidatorFunctionWrapHandler, WrapValidator

from contract import Sentence

LONGEST_WORDS = 300
# Characters: ten times the longest text of any model. All other questions wait while a label is
# read from it.
LONGEST_TEXT = 1 << 20
# A server that stops, or whose engine fails, ends its running replies with these finish reasons.
BROKEN_OFF = ("abort", "error")
UNKNOWN = "unknown"

Value = TypeVar("Value")


def _or_none(value: Any, read: ValidatorFunctionWrapHandler) -> Any:
    try:
        return read(value)
    except ValidationError:
        return None


Maybe = Annotated[Value | None, WrapValidator(_or_none)]
Count = Annotated[int, Field(ge=0, lt=2**31)]
Byte = Annotated[int, Field(ge=0, lt=256)]
LogProb = Annotated[float, Field(ge=-1e6, le=1e6, allow_inf_nan=False)]


class _Details(BaseModel):
    reasoning_tokens: Maybe[Count] = None


class _Usage(BaseModel):
    prompt_tokens: Maybe[Count] = None
    completion_tokens: Maybe[Count] = None
    completion_tokens_details: Maybe[_Details] = None


class _Likely(BaseModel):
    token: Maybe[str] = None
    logprob: Maybe[LogProb] = None


class _Token(_Likely):
    bytes: Maybe[list[Byte]] = None
    top_logprobs: Maybe[list[Maybe[_Likely]]] = None


class _Logprobs(BaseModel):
    content: Maybe[list[Maybe[_Token]]] = None


class _Message(BaseModel):
    content: Any = None
    reasoning_content: Any = None
    reasoning: Any = None


class _Choice(BaseModel):
    index: Maybe[Count] = None
    finish_reason: Maybe[str] = None
    message: Maybe[_Message] = None
    logprobs: Maybe[_Logprobs] = None
    error: Any = None


class _Body(BaseModel):
    choices: Maybe[list[Maybe[_Choice]]] = None
    usage: Maybe[_Usage] = None


class Token(NamedTuple):
    """A token of a reply: its part of the reply's UTF-8, and its log-probability in nats."""

    text: bytes
    logprob: float


class Completion(NamedTuple):
    """One reply.

    `reasoning` is the part that the server sends apart from the text. `tokens` counts the reply's
    own tokens, `reasoning_tokens` those of them that the server says went into reasoning. `logprob`
    is the mean of their log-probabilities, None if any is missing; `drawn` has them one by one.
    `likeliest` maps the likeliest first tokens to their log-probabilities.
    """

    text: str
    reasoning: str | None
    finish_reason: str
    tokens: int
    prompt_tokens: int
    logprob: float | None
    likeliest: dict[str, float]
    reasoning_tokens: int = 0
    drawn: tuple[Token, ...] = ()


class UnusableReplyError(Exception):
    """Nothing in a reply can be used; `sentence` has the server's words.

    `code` is the status inside the body's error, if any.
    """

    def __init__(self, sentence: Sentence, code: int | None = None) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.code = code


def read_completions(body: bytes) -> list[Completion]:
    """The completions of a chat reply, in the order of their seeds.

    The server reports the tokens of all completions together; each gets an equal share.

    Raises:
        UnusableReplyError: the body holds no completion, one that the server broke off, or a text
            that is far too long.
    """
    found = _load(body)
    reply = _Body.model_validate(found) if isinstance(found, dict) else _Body()
    given = [choice for choice in reply.choices or () if choice and choice.message]
    if not given:
        reason = Sentence(
            "no-completion", "its reply holds no completion: {words}", words=server_words(body)
        )
        raise UnusableReplyError(reason, _error_code(found))
    for choice in given:
        if choice.finish_reason in BROKEN_OFF:
            why = _message_of(choice.error) or choice.finish_reason
            raise UnusableReplyError(
                Sentence("reply-broken-off", "it broke the reply off ({reason})", reason=why)
            )
    given.sort(key=lambda choice: choice.index or 0)
    usage = reply.usage or _Usage()
    details = usage.completion_tokens_details or _Details()
    together, thought, count = (
        usage.completion_tokens or 0,
        details.reasoning_tokens or 0,
        len(given),
    )
    return [
        _completion(
            choice,
            tokens=together // count + (i < together % count),
            reasoning_tokens=thought // count + (i < thought % count),
            prompt_tokens=0 if i else usage.prompt_tokens or 0,
        )
        for i, choice in enumerate(given)
    ]


def _completion(
    choice: _Choice, *, tokens: int, reasoning_tokens: int, prompt_tokens: int
) -> Completion:
    message = choice.message or _Message()
    apart = (_text(message.reasoning_content), _text(message.reasoning), _thought(message.content))
    told = (choice.logprobs.content if choice.logprobs else None) or []
    drawn = _drawn(told)
    first = (told[0].top_logprobs if told and told[0] else None) or []
    text = _text(message.content) or ""
    if len(text) > LONGEST_TEXT:
        raise UnusableReplyError(
            Sentence(
                "reply-too-long",
                "it sent a text of {count:,} characters, far too long",
                count=len(text),
            )
        )
    return Completion(
        text=text,
        reasoning=next((text for text in apart if text), None),
        finish_reason=choice.finish_reason or UNKNOWN,
        tokens=tokens,
        reasoning_tokens=reasoning_tokens,
        prompt_tokens=prompt_tokens,
        logprob=math.fsum(token.logprob for token in drawn) / len(drawn) if drawn else None,
        drawn=drawn,
        likeliest={
            entry.token: entry.logprob
            for entry in first
            if entry and entry.token is not None and entry.logprob is not None
        },
    )


def _drawn(told: list[_Token | None]) -> tuple[Token, ...]:
    """The tokens in their order; none if one of them has no log-probability."""
    drawn = tuple(
        Token(_bytes_of(token), token.logprob)
        for token in told
        if token and token.logprob is not None
    )
    return drawn if len(drawn) == len(told) else ()


def _bytes_of(token: _Token) -> bytes:
    """A token's bytes. Its text alone shows half a character as U+FFFD, or as an escape."""
    return (token.token or "").encode() if token.bytes is None else bytes(token.bytes)


def _text(content: Any) -> str | None:
    """A text, or the joined texts of a list of parts; None if `content` is neither."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return None
    texts = [part if isinstance(part, str) else part.get("text") for part in _parts(content)]
    return "".join(text for text in texts if isinstance(text, str))


def _thought(content: Any) -> str | None:
    """The reasoning in a list of content parts, as Mistral's servers send it."""
    if not isinstance(content, list):
        return None
    thoughts = [part.get("thinking") for part in _parts(content) if isinstance(part, dict)]
    return "".join(text for text in map(_text, thoughts) if text)


def _parts(content: list[Any]) -> Iterator[str | dict[str, Any]]:
    return (part for part in content if isinstance(part, str | dict))


def server_answers(status: int, body: bytes) -> Sentence:
    """What a server answered in place of a reply."""
    return Sentence(
        "server-answers",
        "the model server answers {http_status}: {words}",
        http_status=status,
        words=server_words(body),
    )


def server_words(body: bytes) -> str:
    """A body in one short line: an error's message, or the text of any other body, such as a
    page.
    """
    found = _load(body)
    words = _message_of(found)
    if words is None:
        plain = writable(body[:20_000].decode("utf-8", "replace"))
        plain = re.sub(r"(?is)<(script|style)\b.*?</\1\s*>|<[^>]*>", " ", plain)
        if not plain.strip():
            return Sentence("empty-body", "an empty body")
        words = plain
    words = " ".join(re.sub(r"[\x00-\x1f\x7f-\x9f]", " ", words).split())
    if not words:
        return Sentence("nothing-readable", "nothing readable")
    return words if len(words) <= LONGEST_WORDS else words[: LONGEST_WORDS - 1] + "…"


def _message_of(found: Any) -> str | None:
    """The message in an error document, under the keys that known servers use."""
    if isinstance(found, str):
        return found.strip() or None
    if isinstance(found, dict):
        for key in ("error", "message", "detail", "error_msg", "msg", "title"):
            if words := _message_of(found.get(key)):
                return words
    return None


def _error_code(found: Any) -> int | None:
    error = found.get("error") if isinstance(found, dict) else None
    code = error.get("code") if isinstance(error, dict) else None
    return code if isinstance(code, int) and 400 <= code < 600 else None


def _load(body: bytes) -> Any:
    """The body's JSON, with texts that can be written as UTF-8; None if it is not JSON."""
    try:
        found = json.loads(body.decode("utf-8-sig", "replace"), parse_int=_int)
        return _writable(found) if b"\\u" in body else found
    except (ValueError, RecursionError):
        return None


def _int(digits: str) -> int | None:
    """None for a number too long for a count: Python refuses to read the longest ones."""
    return int(digits) if len(digits) < 20 else None


def _writable(found: Any) -> Any:
    if isinstance(found, str):
        return writable(found)
    if isinstance(found, list):
        return [_writable(entry) for entry in found]
    if isinstance(found, dict):
        return {writable(key): _writable(value) for key, value in found.items()}
    return found


def writable(text: str) -> str:
    """`text` with U+FFFD for each half of a surrogate pair, which UTF-8 cannot hold."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def retry_after_s(headers: Mapping[str, str], longest_s: float = 60.0) -> float | None:
    """The header in seconds; None if it is missing, a date, or longer than `longest_s`."""
    try:
        seconds = float(headers.get("retry-after", ""))
    except ValueError:
        return None
    return seconds if 0 < seconds <= longest_s else None
