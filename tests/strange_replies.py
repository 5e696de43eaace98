"""Bodies that real servers and proxies send: some can be used, some cannot."""

from __future__ import annotations

import json

TEXT = "答案是：A"


def _body(message: object, **reply: object) -> bytes:
    choice = {"index": 0, "finish_reason": "stop", "message": message}
    return json.dumps({"choices": [choice], **reply}).encode()


def _choice(**choice: object) -> bytes:
    return json.dumps({"choices": [{"message": {"content": TEXT}, **choice}]}).encode()


LOGPROB = '{"choices": [{"message": {"content": "%s"}, "logprobs": {"content": %s}}]}'

USABLE = {
    "usage is empty": _body({"content": TEXT}, usage={}),
    "usage is null": _body({"content": TEXT}, usage=None),
    "usage is a list": _body({"content": TEXT}, usage=[1]),
    "counts are texts": _body({"content": TEXT}, usage={"completion_tokens": "many"}),
    "counts are negative": _body({"content": TEXT}, usage={"completion_tokens": -3}),
    "a count has 5,000 digits": _body({"content": TEXT})[:-1]
    + b', "usage": {"completion_tokens": '
    + b"9" * 5000
    + b"}}",
    "a count is infinite": _body({"content": TEXT}, usage={"prompt_tokens": float("inf")}),
    "finish_reason is null": _choice(finish_reason=None),
    "finish_reason is missing": _choice(),
    "finish_reason is a number": _choice(finish_reason=3),
    "the index is a text": _choice(index="first"),
    "content is a list of parts": _body({"content": [{"type": "text", "text": TEXT}]}),
    "content is a list of texts": _body({"content": ["答案", "是：A"]}),
    "content has parts of other kinds": _body(
        {"content": [None, 3, {"type": "image"}, {"type": "text", "text": TEXT}]}
    ),
    "half a surrogate pair": _body({"content": "\ud83d" + TEXT}),
    "the role is missing": _body({"content": TEXT, "tool_calls": "none"}),
    "a byte order mark": b"\xef\xbb\xbf" + _body({"content": TEXT}),
    "log-probabilities are no numbers": (LOGPROB % (TEXT, '[{"logprob": NaN}]')).encode(),
    "log-probabilities are huge": (LOGPROB % (TEXT, '[{"logprob": -1e308}]')).encode(),
    "log-probabilities are a text": (LOGPROB % (TEXT, '"none"')).encode(),
    "a choice is null": json.dumps({"choices": [None, {"message": {"content": TEXT}}]}).encode(),
}

# Each with a part of the message about it.
UNUSABLE = {
    "an error in the body": (b'{"error": {"message": "Insufficient balance"}}', "Insufficient bal"),
    "an error that is a text": (b'{"error": "engine is overloaded"}', "engine is overloaded"),
    "an error with its code": (b'{"code": 1305, "msg": "too many users"}', "too many users"),
    "HTML": (b"<html><style>p{}</style><h1>Log in</h1> first</html>", "Log in first"),
    "an event stream": (b'data: {"choices": [{"delta": {}}]}\n\ndata: [DONE]\n\n', "data: {"),
    "an empty body": (b"", "an empty body"),
    "JSON that was cut": (_choice()[:-9], "choices"),
    "null": (b"null", "null"),
    "a list": (b"[1]", "[1]"),
    "deep nesting": (b"[" * 100_000, "[[["),
    "no choices": (b'{"choices": []}', '"choices": []'),
    "choices are null": (b'{"choices": null}', '"choices": null'),
    "choices are a text": (b'{"choices": "A"}', '"choices": "A"'),
    "choices hold no message": (b'{"choices": [{}, 3]}', "choices"),
    "bytes that are no text": (b"\xff\xfe\x00", "\N{REPLACEMENT CHARACTER}"),
    "a reply that was broken off": (_choice(finish_reason="abort"), "broke the reply off"),
    "a reply that was broken off, with why": (
        _choice(finish_reason="error", error={"code": 502, "message": "Upstream went away"}),
        "broke the reply off (Upstream went away)",
    ),
    "a text of two million characters": (
        _body({"content": "x" * 2_000_000}),
        "a text of 2,000,000 characters",
    ),
}
