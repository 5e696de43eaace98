"""Whether what is served is what was trained: asked of a running server, before anyone else asks.

The contract's probe is compared token by token, and greedy replies with those that the trainer
recorded. Kernels differ in rounding, so a reply may part from the recorded one somewhere; garbage,
and replies of which none begins as recorded, are faults.
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

# Few, so that a server which answers garbage is taken down before a job's first reply ends.
MAX_TOKENS = 32
ASK_TIMEOUT_S = 600.0
# How many characters of a reply must be as recorded for it to begin alike.
ALIKE_CHARACTERS = 6
# A reply that is one character so often is no text: what float16 that overflows looks like.
REPEATS = 8
NO_REPLY = (OSError, HTTPException)


class Server:
    """A model server on this machine, as its launcher asks it."""

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
        """Raises OSError where the server does not answer, or refuses."""
        request = urllib.request.Request(
            f"{self._url}{path}", json.dumps(body, allow_nan=False).encode(), self._headers
        )
        with open_url(request, timeout_s=ASK_TIMEOUT_S) as reply:
            return json.loads(reply.read())

    def busy(self) -> bool:
        """Whether requests run or wait, by vLLM's metrics; also where there are none."""
        try:
            with open_url(f"{self._url}/metrics", timeout_s=5) as reply:
                text = reply.read().decode(errors="replace")
        except NO_REPLY:
            return True
        names = ("vllm:num_requests_running", "vllm:num_requests_waiting")
        counts = [float(line.split()[-1]) for line in text.splitlines() if line.startswith(names)]
        return not counts or any(counts)


def faults(server: Server, contract: Contract, model: Path) -> list[str]:
    """What is wrong with the served model; nothing, where it is what was trained."""
    name = contract.served_name
    return _asking(lambda: _probe_faults(server, contract, name) or _differing(server, model, name))


def reply_faults(server: Server, model: Path, name: str) -> list[str]:
    """How the greedy replies of what is served as `name` differ from those recorded in `model`."""
    return _asking(lambda: _differing(server, model, name))


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
        # its reply is no HTTP, no JSON, or not of the form that the API has
        return [f"the server answers the checks with what is no reply to them: {error!r}"]


def _probe_faults(server: Server, contract: Contract, name: str) -> list[str]:
    try:
        got = server.post("/tokenize", contract.probe.request(name))["tokens"]
    except urllib.error.HTTPError as error:
        if error.code == 404:  # transformers' server has no such call
            return []
        raise
    different = contract.probe.difference(got)
    if different is None:
        return []
    return [
        f"the contract's probe becomes other tokens than were trained, {different}: another chat "
        "template or tokenizer is served"
    ]


def _differing(server: Server, model: Path, name: str) -> list[str]:
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
            f"none of {len(recorded)} greedy replies begins as the trainer recorded it: other "
            "weights, or numbers that this card computes wrongly"
        )
    return found


def garbage(text: str) -> str | None:
    """Why `text` cannot be a reply, None where it can."""
    bare = "".join(text.split())
    if not bare:
        return "an empty reply"
    if len(bare) >= REPEATS and len(set(bare)) == 1:
        return f"a reply of {bare[0]!r} alone: the numbers overflow in this dtype"
    if "\ufffd" * 3 in bare:
        return "a reply that is no text"
    return None


def begins_alike(text: str, recorded: str) -> bool:
    return text[:ALIKE_CHARACTERS] == recorded[:ALIKE_CHARACTERS]
