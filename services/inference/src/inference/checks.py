"""Checks on a running server, before other clients ask it: are the served weights the trained ones?

The contract's probe is compared token by token. Greedy replies are compared with those that the
trainer recorded. Kernels round differently, so a reply may differ from the recorded one after some
tokens. It is a fault if a reply is garbage, or if none of the replies begins as recorded.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path
from typing import Any

from contract import Contract
from contract.addresses import open_url
from contract.published import recorded_replies

# Few tokens, so that a server that answers garbage is stopped before a job's first reply ends.
MAX_TOKENS = 32
ASK_TIMEOUT_S = 600.0
# A reply begins as recorded if this many characters are equal.
ALIKE_CHARACTERS = 6
# A reply of this many equal characters is not text: float16 overflows look like this.
REPEATS = 8
NO_REPLY = (OSError, HTTPException)


class Client:
    """The launcher's client for the model server on this machine."""

    def __init__(self, url: str, api_key: str) -> None:
        self._url = url
        self._headers = {"Content-Type": "application/json"}
        if api_key:
            self._headers["Authorization"] = f"Bearer {api_key}"

    def healthy(self) -> bool:
        try:
            with open_url(f"{self._url}/health", timeout_s=5) as reply:
                return reply.status == 200
        except NO_REPLY:
            return False

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """Raises OSError if the server does not answer or refuses."""
        request = urllib.request.Request(
            f"{self._url}{path}", json.dumps(body, allow_nan=False).encode(), self._headers
        )
        with open_url(request, timeout_s=ASK_TIMEOUT_S) as reply:
            return json.loads(reply.read())

    def busy(self) -> bool:
        """True if vLLM's metrics show running or waiting requests, or if there are no metrics."""
        try:
            with open_url(f"{self._url}/metrics", timeout_s=5) as reply:
                text = reply.read().decode(errors="replace")
        except NO_REPLY:
            return True
        names = ("vllm:num_requests_running", "vllm:num_requests_waiting")
        counts = [float(line.split()[-1]) for line in text.splitlines() if line.startswith(names)]
        return not counts or any(counts)


def faults(server: Client, contract: Contract, model: Path, name: str) -> list[str]:
    """The faults of the model served as `name`; empty if it is the trained one, published in
    `model` with `contract`.
    """
    return _asking(lambda: _probe_faults(server, contract, name) or _differing(server, model, name))


def _asking(ask: Callable[[], list[str]]) -> list[str]:
    try:
        return ask()
    except OSError as error:
        said = (
            error.read().decode(errors="replace")[:300]
            if isinstance(error, urllib.error.HTTPError)
            else ""
        )
        return [f"the server does not answer the checks: {error} {said}".strip()]
    except (HTTPException, ValueError, LookupError, TypeError, AttributeError) as error:
        # its reply is not HTTP, not JSON, or not in the API's form
        return [f"the server's reply to the checks cannot be read: {error!r}"]


def _probe_faults(server: Client, contract: Contract, name: str) -> list[str]:
    try:
        got = server.post("/tokenize", contract.probe.request(name))["tokens"]
    except urllib.error.HTTPError as error:
        if error.code == 404:  # transformers' server does not have this call
            return []
        raise
    different = contract.probe.difference(got)
    if different is None:
        return []
    return [
        f"the server turns the contract's probe into other tokens than the trainer, {different}: "
        "its chat template or tokenizer is another one"
    ]


def _differing(server: Client, model: Path, name: str) -> list[str]:
    recorded = recorded_replies(model)
    found, alike = [], 0
    for entry in recorded:
        body = {
            "model": name,
            "messages": list(entry.messages),
            "temperature": 0,
            "max_tokens": MAX_TOKENS,
            "seed": 0,
        }
        text = server.post("/v1/chat/completions", body)["choices"][0]["message"]["content"] or ""
        if reason := garbage(text):
            found.append(f"{entry.source}: {reason}")
        alike += begins_alike(text, entry.text)
    if recorded and not found and not alike:
        found.append(
            f"none of {len(recorded)} greedy replies begins as the trainer recorded it: the server "
            "has other weights, or this card computes wrong numbers"
        )
    return found


def garbage(text: str) -> str | None:
    """The reason why `text` cannot be a reply; None if it can."""
    bare = "".join(text.split())
    if not bare:
        return "an empty reply"
    if len(bare) >= REPEATS and len(set(bare)) == 1:
        return f"a reply that only repeats {bare[0]!r}: the numbers overflow in this dtype"
    if "\ufffd" * 3 in bare:
        return "a reply that is not text"
    return None


def begins_alike(text: str, recorded: str) -> bool:
    return text[:ALIKE_CHARACTERS] == recorded[:ALIKE_CHARACTERS]
