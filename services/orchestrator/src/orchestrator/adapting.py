"""What an endpoint refuses of a request, read from its refusal, and the request without it. No I/O.

Servers that speak OpenAI's API refuse some of its parameters, or some of their values. A refusal
names them in a field (`param`, pydantic's `loc`) or only in its words. What a server sends back of
the question is not read. A refusal that names nothing of ours, or something that the request is
nothing without, changes nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

Body = dict[str, Any]

# Stands for the role "system"; a message, and no field of the request.
SYSTEM = "system"
MOST_READ_BYTES = 20_000
# Ask a model to think, or not to. A server without them still answers.
HINTS = (
    "chat_template_kwargs",
    "enable_thinking",
    "thinking_budget",
    "thinking_token_budget",
    "reasoning_effort",
)
_PARAMETERS = (
    *HINTS,
    "max_tokens",
    "random_seed",
    "seed",
    "temperature",
    "top_p",
    "n",
    "add_generation_prompt",
    "continue_final_message",
)
# The request is nothing without these. A refusal that names one is about no other.
_NEEDED = (
    "max_completion_tokens",
    "logprobs",
    "top_logprobs",
    "structured_outputs",
    "guided_choice",
    "response_format",
)

_UNKNOWN = re.compile(
    r"unsupported|not\s+(?:currently\s+|yet\s+)?support|n't\s+support|unrecogni[sz]ed|unknown|unexpected"
    r"|not\s+permitted|extra_forbidden|extra\s+(?:inputs|fields)|additional\s+propert|no\s+such\s+"
    r"|cannot\s+find|not\s+(?:allowed|available|enabled|accepted|implemented)|deprecated"
    r"|incompatible|不支持|未知"
)
_FIXED = re.compile(
    r"only\s+the\s+default|only\s+\S+\s+is\s+(?:allowed|supported|accepted)|must\s+be\s+(?:exactly\s+)?1\b"
    r"|仅支持|只支持"
)
_NO_EXTRAS = re.compile(r"extra_forbidden|extra\s+inputs\s+are\s+not\s+permitted")
_BOTH = re.compile(r"both\s+be\s+(?:specified|set)|only\s+one|specify\s+either|不能同时")
_ABOUT_LENGTH = re.compile(
    r"too\s+(?:large|long|high|small|low)|at\s+most|context\s+length|was\s+reached|exceed"
)
_NO_SYSTEM = re.compile(
    r"system\W+(?:role|message|prompt|instruction)s?\b[^.]{0,40}(?:\bnot\b|n't|unsupported)"
    r"|(?:\bno\b|\bnot\b|n't|unsupported|unexpected|invalid|unknown)[^.]{0,40}\brole\W+system\b"
    r"|(?:\bnot\b|n't|unsupported)\s+support[^.]{0,30}\bsystem\b"
    r"|developer\s+instruction\s+is\s+not\s+enabled"
    r"|roles\s+must\s+alternate|only\s+user\s+and\s+assistant"
)
_QUOTES = "'\"`‘’“”"


class Adaptation(NamedTuple):
    """`parameter` is left out, or sent as `instead`. With `value`, only where it has this value."""

    parameter: str
    instead: str | None = None
    value: float | None = None


# n stays 1, and each sample has a request of its own.
SINGLY = Adaptation("n", instead="n")


def adapted(body: Body, adaptations: Iterable[Adaptation]) -> Body:
    """The request as the endpoint takes it."""
    for adaptation in adaptations:
        body = _without(body, adaptation)
    return body


def _without(body: Body, adaptation: Adaptation) -> Body:
    name = adaptation.parameter
    if name == SYSTEM:
        return {**body, "messages": merged(body["messages"])}
    if name not in body or (name == "n" and body["n"] > 1):
        return body
    if adaptation.value is not None and body[name] != adaptation.value:
        return body
    rest = {key: value for key, value in body.items() if key != name}
    return rest if adaptation.instead is None else {**rest, adaptation.instead: body[name]}


def merged(messages: list[Mapping[str, str]]) -> list[Mapping[str, str]]:
    """The messages with the system's text at the beginning of the first user's."""
    if len(messages) < 2 or messages[0]["role"] != "system" or messages[1]["role"] != "user":
        return messages
    system, user, *rest = messages
    return [{**user, "content": f"{system['content']}\n\n{user['content']}"}, *rest]


def learned(body: Body, refusal: bytes, fixed: Collection[str] = ()) -> Adaptation | None:
    """What to change in `body`, which the server refused with `refusal`; None if nothing can be.

    The parameters in `fixed` are never changed.
    """
    said = _Said.of(refusal, body)
    if SYSTEM not in fixed and _refuses_system(said, body):
        return Adaptation(SYSTEM)
    open_to_change = {name: body[name] for name in body if name not in fixed}
    for name in _named(said, body):
        if name in open_to_change and (found := _change(name, body[name], said)):
            return found
    return None


def names_logprobs(refusal: bytes) -> bool:
    """True if a refusal is about log-probabilities. OpenAI answers 403 to them, which mostly
    passes.
    """
    return b"logprobs" in refusal[:MOST_READ_BYTES]


def _change(name: str, value: Any, said: _Said) -> Adaptation | None:
    if name not in _PARAMETERS:
        return None
    if name in HINTS:
        return Adaptation(name)
    unknown = bool(_UNKNOWN.search(said.words))
    if name == "max_tokens":
        is_length = _ABOUT_LENGTH.search(said.words)
        return Adaptation(name, "max_completion_tokens") if unknown and not is_length else None
    if name == "seed" and _NO_EXTRAS.search(said.words):
        return Adaptation(name, "random_seed")  # Mistral's name for it
    if name == "n" and value > 1:
        return None  # the caller asks for one
    if unknown or _FIXED.search(said.words) or (name == "top_p" and _BOTH.search(said.words)):
        return Adaptation(name)
    # out of the server's range, where leaving it out means the same or nearly so
    if (name, value) in (("top_p", 1.0), ("temperature", 0.0)):
        return Adaptation(name, value=value)
    return None


class _Said(NamedTuple):
    """A refusal in small letters, without the question. `fields` holds the parameters that it names
    in fields of their own.
    """

    words: str
    fields: tuple[str, ...]

    @classmethod
    def of(cls, refusal: bytes, body: Body) -> _Said:
        text = refusal[:MOST_READ_BYTES].decode("utf-8", "replace")
        parts = list(_parts(text))
        words = "\n".join(part for key, part in parts if key != "input")
        for message in body.get("messages", ()):
            words = words.replace(message["content"], " ")
        fields = [part for key, part in parts if key in ("param", "loc", "field")]
        return cls(words.lower(), tuple(dict.fromkeys(_fields(fields))))


def _parts(text: str, depth: int = 0) -> Iterator[tuple[str, str]]:
    """Each text in a document, with the key that it stands under. A text may be a document itself:
    gateways pass on another server's error as a text.
    """
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = text
    yield from _texts(found, "", depth)


def _texts(found: Any, key: str, depth: int) -> Iterator[tuple[str, str]]:
    if depth > 8:
        return
    if isinstance(found, str):
        start = found.find("{")
        if start >= 0 and depth < 4 and _is_document(found[start:]):
            yield key, found[:start]
            yield from _parts(found[start : found.rfind("}") + 1], depth + 1)
        else:
            yield key, found
    elif isinstance(found, Mapping):
        for name, value in found.items():
            yield from _texts(value, str(name), depth + 1)
    elif isinstance(found, list):
        for value in found:
            yield from _texts(value, key, depth + 1)


def _is_document(text: str) -> bool:
    try:
        return isinstance(json.loads(text[: text.rfind("}") + 1]), Mapping)
    except (ValueError, RecursionError):
        return False


def _fields(texts: Iterable[str]) -> Iterator[str]:
    for text in texts:
        yield from re.findall(r"[a-z_]+", text.lower())


def _refuses_system(said: _Said, body: Body) -> bool:
    has_one = any(message["role"] == "system" for message in body.get("messages", ()))
    return has_one and bool(_NO_SYSTEM.search(said.words.translate(_WITHOUT_QUOTES)))


_WITHOUT_QUOTES = str.maketrans(dict.fromkeys(_QUOTES))


def _named(said: _Said, body: Body) -> list[str]:
    """The parameters of `body` that a refusal names: all in its fields, else the first in its
    words.
    """
    in_fields = [name for name in said.fields if name in body]
    if in_fields:
        return in_fields
    known = [name for name in (*_PARAMETERS, *_NEEDED) if name in body]
    places = {name: place for name in known if (place := _place(name, said.words)) is not None}
    if {"temperature", "top_p"} <= places.keys() and _BOTH.search(said.words):
        return ["top_p"]
    return sorted(places, key=places.__getitem__)[:1]


def _place(name: str, words: str) -> int | None:
    """Where the words name a parameter, be it "maxTokens" for "max_tokens". A single letter counts
    in quotes alone.
    """
    quoted = f"[{_QUOTES}]" if len(name) == 1 else ""
    found = re.search(rf"{quoted}(?<!\w){name.replace('_', '_?')}(?!\w){quoted}", words)
    return found and found.start()
