"""The workers' counters: kept in Redis, so that they outlive the process of one shard.

After Redis is wiped they start at 0 again. Prometheus expects that counters can do so.
"""

from __future__ import annotations

import json
import time
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from threading import Lock
from typing import NamedTuple

from redis import Redis
from redis.exceptions import RedisError

from orchestrator.jobs.records import Answer

COUNTS_KEY = "quorum:metrics"
IN_FLIGHT_KEY = "quorum:in-flight:"
IN_FLIGHT_TTL_S = 10


class Family(NamedTuple):
    """A counter, or a histogram if it has `buckets` (upper edges, in seconds).

    `known` holds values of a single label; their series exist before the first count.
    """

    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    known: tuple[str, ...] = ()


LATENCIES_S = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 160, 320, 640)
FAMILIES = {
    "quorum_questions": Family(
        "Questions that were answered, by how.", ("outcome",), known=("voted", "forced", "failed")
    ),
    "quorum_ties": Family("Votes that were level after all samples."),
    "quorum_samples_drawn": Family("Completions drawn."),
    "quorum_samples_saved": Family("Completions that early stopping made needless."),
    "quorum_samples_invalid": Family("Completions that named no option."),
    "quorum_tokens": Family("Tokens of prompts and completions.", ("model", "kind")),
    "quorum_request_retries": Family("Requests to the model server that were repeated."),
    "quorum_request_duration_seconds": Family(
        "From asking the model server until its reply.", (), LATENCIES_S
    ),
    "quorum_question_duration_seconds": Family(
        "From a question's first request until its answer.", (), LATENCIES_S
    ),
}


@lru_cache(maxsize=1024)
def field(name: str, *labels: str) -> str:
    """The hash field of one series; a histogram's last label is its bucket's number or "sum"."""
    return json.dumps([name, *labels], allow_nan=False)


class Meter:
    """Counts of one process that are not flushed yet."""

    def __init__(self) -> None:
        self.in_flight = 0
        self._counts: defaultdict[str, float] = defaultdict(float)
        self._counting = Lock()  # turns that overlap flush it from threads of their own

    def add(self, name: str, *labels: str, by: float = 1) -> None:
        with self._counting:
            self._counts[field(name, *labels)] += by

    def observe(self, name: str, seconds: float) -> None:
        self.add(name, str(bisect_left(FAMILIES[name].buckets, seconds)))
        self.add(name, "sum", by=seconds)

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Wrap one request to the model server. It counts as answered if nothing is raised."""
        self.in_flight += 1
        began = time.monotonic()
        try:
            yield
            self.observe("quorum_request_duration_seconds", time.monotonic() - began)
        finally:
            self.in_flight -= 1

    def answered(self, answer: Answer, model: str) -> None:
        outcome = "voted"
        if answer.failed:
            outcome = "failed"
        elif answer.forced:
            outcome = "forced"
        self.add("quorum_questions", outcome)
        self.add("quorum_ties", by="tie" in answer.flags)
        self.add("quorum_samples_drawn", by=len(answer.samples))
        self.add("quorum_samples_saved", by=answer.samples_saved)
        self.add("quorum_samples_invalid", by=sum(s.label is None for s in answer.samples))
        self.add("quorum_tokens", model, "prompt", by=answer.prompt_tokens)
        self.add("quorum_tokens", model, "completion", by=sum(s.tokens for s in answer.samples))
        self.observe("quorum_question_duration_seconds", answer.latency_s)

    def flush(self, connection: Redis, process: str) -> None:
        """Add the counts since the last flush to Redis. If that fails, they are kept.

        Raises:
            RedisError: Redis is away.
        """
        with self._counting:
            counts, self._counts = self._counts, defaultdict(float)
        pipeline = connection.pipeline(transaction=True)
        for name, count in counts.items():
            if count:
                pipeline.hincrbyfloat(COUNTS_KEY, name, count)
        pipeline.set(IN_FLIGHT_KEY + process, self.in_flight, ex=IN_FLIGHT_TTL_S)
        try:
            pipeline.execute()
        except RedisError:
            with self._counting:
                for name, count in counts.items():
                    self._counts[name] += count
            raise


def read_counts(connection: Redis) -> defaultdict[str, dict[tuple[str, ...], float]]:
    """The counts of all workers: for each family its series, by the values of their labels.

    Raises:
        RedisError: Redis is away.
    """
    found: defaultdict[str, dict[tuple[str, ...], float]] = defaultdict(dict)
    for key, value in connection.hgetall(COUNTS_KEY).items():
        name, *labels = json.loads(key)
        found[name][tuple(labels)] = float(value)
    return found


def requests_in_flight(connection: Redis) -> int:
    """The number of requests that all workers are waiting for.

    Raises:
        RedisError: Redis is away.
    """
    keys = list(connection.scan_iter(f"{IN_FLIGHT_KEY}*", count=1000))
    counts = connection.mget(keys) if keys else []
    return sum(int(count) for count in counts if count is not None)
