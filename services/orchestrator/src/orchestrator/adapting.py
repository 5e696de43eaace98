"""What an endpoint refuses of a request, read from its refusal, and the request without it. No I/O.

Servers that speak OpenAI's API refuse some of its parameters, or some of their values
(`orchestrator.refusal` reads which). A refusal that names nothing of ours, or something that the
request is nothing without, changes nothing.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple

from orchestrator.refusal import MOST_READ_BYTES, Refusal

Body = dict[str, Any]

# Stands for the role "system"; a message, and no field of the request.
SYSTEM = "system"
# The words of other errors are about the server.
READ_STATUSES = (400, 422)
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
    r"|no\s+(?:parameter|argument|field)|not\s+a\s+(?:valid|supported|known)"
    r"|not\s+(?:allowed|available|enabled|accepted|implemented|recogni[sz]ed)|deprecated"
    r"|incompatible|不支持|未知"
)
_FIXED = re.compile(
    r"only\s+the\s+default|only\s+\S+\s+is\s+(?:allowed|supported|accepted)|must\s+be\s+(?:exactly\s+)?1\b"
    r"|仅支持|只支持"
)
_NO_EXTRAS = re.compile(r"extra_forbidden|extra\s+inputs\s+are\s+not\s+permitted")
_BOTH = re.compile(r"both\s+be\s+(?:specified|set)|only\s+one|specify\s+either|不能同时")
_EITHER = re.compile(
    r"(?:temperature\W+(?:and|or|和|与)\W+top_?p|top_?p\W+(?:and|or|和|与)\W+temperature)\b[^.\n]{0,20}"
    r"(?:both\s+be\s+(?:specified|set|used)|not\s+both|不能同时)"
    r"|(?:only\s+one\s+of|specify\s+either)\W+(?:temperature\W+(?:and|or)\W+top_?p"
    r"|top_?p\W+(?:and|or)\W+temperature)\b"
)
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
# A value that the server does not take.
_INVALID = re.compile(
    r"invalid(?!_request)|must\b|should\s+be|expected|one\s+of|out\s+of|非法|必须"
)
_QUOTES = "'\"`‘’“”"


class Adaptation(NamedTuple):
    """`parameter` is left out, or sent as `instead`, or with the value `sent`. With `value`, only
    where it has this value.
    """

    parameter: str
    instead: str | None = None
    value: float | None = None
    sent: float | None = None


# Left out, a temperature of 0 would become the endpoint's default, which mostly is 1.
NEARLY_GREEDY = Adaptation("temperature", value=0.0, sent=0.01)
# n stays 1, and each sample has a request of its own.
SINGLY = Adaptation("n", instead="n")


def adapted(body: Body, adaptations: Iterable[Adaptation]) -> Body:
    """The request as the endpoint takes it."""
    # what is left out first, because another value was tried before it
    for adaptation in sorted(adaptations, key=lambda each: each.sent is not None):
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
    if adaptation.sent is not None:
        return {**body, name: adaptation.sent}
    rest = {key: value for key, value in body.items() if key != name}
    return rest if adaptation.instead is None else {**rest, adaptation.instead: body[name]}


def merged(messages: list[Mapping[str, str]]) -> list[Mapping[str, str]]:
    """The messages with the system's text at the beginning of the first user's."""
    if len(messages) < 2 or messages[0]["role"] != "system" or messages[1]["role"] != "user":
        return messages
    system, user, *rest = messages
    return [{**user, "content": f"{system['content']}\n\n{user['content']}"}, *rest]


def learned(
    body: Body, refusal: bytes, fixed: Collection[str] = (), status: int = 400
) -> Adaptation | None:
    """What to change in `body`, which the server refused with `refusal`; None if nothing can be.

    The parameters in `fixed` are never changed.
    """
    said = Refusal.of(refusal, body)
    if SYSTEM not in fixed and status in READ_STATUSES and _refuses_system(said, body):
        return Adaptation(SYSTEM)
    open_to_change = {name: body[name] for name in body if name not in fixed}
    for name, about in _named(said, body, status):
        if name in open_to_change and (found := _change(name, body[name], about, said.words)):
            return found
    return None


def names_logprobs(refusal: bytes) -> bool:
    """True if a refusal is about log-probabilities. OpenAI answers 403 to them, which mostly
    passes.
    """
    return b"logprobs" in refusal[:MOST_READ_BYTES]


def _change(name: str, value: Any, about: str, words: str) -> Adaptation | None:
    if name not in _PARAMETERS:
        return None
    unknown = bool(_UNKNOWN.search(about))
    is_fixed = bool(_FIXED.search(about))
    if name in HINTS:
        return Adaptation(name) if unknown or is_fixed or _INVALID.search(about) else None
    if name == "max_tokens":
        is_length = _ABOUT_LENGTH.search(words)
        return Adaptation(name, "max_completion_tokens") if unknown and not is_length else None
    if name == "seed" and _NO_EXTRAS.search(about):
        return Adaptation(name, "random_seed")  # Mistral's name for it
    if name == "n" and value > 1:
        return None  # the caller asks for one
    if (name, value) == ("temperature", 0.0):
        return NEARLY_GREEDY
    if unknown or is_fixed or (name == "top_p" and _BOTH.search(about)):
        return Adaptation(name)
    # out of the server's range, where leaving it out means the same
    return Adaptation(name, value=value) if (name, value) == ("top_p", 1.0) else None


def _refuses_system(said: Refusal, body: Body) -> bool:
    has_one = any(message["role"] == "system" for message in body.get("messages", ()))
    return has_one and bool(_NO_SYSTEM.search(said.words.translate(_WITHOUT_QUOTES)))


_WITHOUT_QUOTES = str.maketrans(dict.fromkeys(_QUOTES))


def _named(said: Refusal, body: Body, status: int) -> list[tuple[str, str]]:
    """The parameters of `body` that a refusal names, each with the words about it: all in its
    fields, else the first in its words.
    """
    in_fields = [(name, said.words) for name in said.fields if name in body]
    if in_fields or status not in READ_STATUSES:
        return in_fields
    if {"temperature", "top_p"} <= body.keys() and _EITHER.search(said.words):
        return [("top_p", said.words)]
    known = [name for name in (*_PARAMETERS, *_NEEDED) if name in body]
    found = {name: beside for name in known if (beside := said.beside(name)) is not None}
    first = sorted(found, key=lambda name: found[name][0])[:1]
    return [(name, found[name][1]) for name in first]
