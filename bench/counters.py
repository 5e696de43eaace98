"""What vLLM has generated: from its /metrics, or from the replies of its batch runner."""

from __future__ import annotations

import json
import time
from dataclasses import astuple, dataclass
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from contract.addresses import open_url

POLL_S = 0.1
IDLE_TIMEOUT_S = 60.0
NAMES = (
    "http_requests_total",
    "vllm:request_success_total",
    "vllm:generation_tokens_total",
    "vllm:prompt_tokens_total",
    "vllm:prefix_cache_queries_total",
    "vllm:prefix_cache_hits_total",
)
UNDER_WAY = ("vllm:num_requests_running", "vllm:num_requests_waiting")


@dataclass(frozen=True)
class Counters:
    """`samples` were generated to their end. `tokens` includes those of aborted samples.
    `cache_queries` and `cache_hits` are tokens of prompts; 0 if nothing counts them.
    """

    requests: float = 0
    samples: float = 0
    tokens: float = 0
    prompt_tokens: float = 0
    cache_queries: float = 0
    cache_hits: float = 0

    def since(self, earlier: Counters) -> Counters:
        pairs = zip(astuple(self), astuple(earlier), strict=True)
        return Counters(*(now - before for now, before in pairs))


def parse(text: str) -> tuple[Counters, bool]:
    """The counters in the text of /metrics, and whether the server is idle."""
    sums = dict.fromkeys((*NAMES, *UNDER_WAY), 0.0)
    for family in text_string_to_metric_families(text):
        for name, labels, value, *_ in family.samples:
            is_aborted = labels.get("finished_reason", "stop") not in ("stop", "length")
            if name in sums and not is_aborted and labels.get("method", "POST") == "POST":
                sums[name] += value
    return Counters(*(sums[name] for name in NAMES)), not any(sums[name] for name in UNDER_WAY)


def read(url: str) -> Counters:
    """Raises OSError if the server does not answer."""
    return _read(url)[0]


def when_idle(url: str) -> Counters:
    """The counters once no request is under way.

    Raises:
        OSError: the server does not answer.
        TimeoutError: it is not idle in time.
    """
    until_s = time.monotonic() + IDLE_TIMEOUT_S
    while time.monotonic() < until_s:
        found, is_idle = _read(url)
        if is_idle:
            return found
        time.sleep(POLL_S)
    raise TimeoutError(f"{url}: the server is still at work after {IDLE_TIMEOUT_S:.0f} s")


def _read(url: str) -> tuple[Counters, bool]:
    with open_url(url, timeout_s=30) as reply:
        return parse(reply.read().decode())


def read_replies(file: Path) -> Counters:
    """The counters of a batch run, from the usage that its replies report."""
    bodies = [json.loads(line)["response"]["body"] for line in file.read_text().splitlines()]
    return Counters(
        requests=len(bodies),
        samples=sum(len(body["choices"]) for body in bodies),
        tokens=sum(body["usage"]["completion_tokens"] for body in bodies),
        # as vLLM counts them, once a sample
        prompt_tokens=sum(body["usage"]["prompt_tokens"] * len(body["choices"]) for body in bodies),
    )
