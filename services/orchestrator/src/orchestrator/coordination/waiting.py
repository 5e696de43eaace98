"""The reasons why jobs wait, as their workers report them: one short-lived Redis key per shard.

The API shows the reason as the job's note.

A worker repeats its report while it waits, so losing the keys does no harm.
"""

from __future__ import annotations

import time
from contextlib import suppress

from pydantic import ValidationError
from redis import Redis
from redis.exceptions import RedisError

from contract import CodedMessage, Sentence, coded

KEY = "quorum:waits:"
# Longer than the time until a shard that was put back or failed is enqueued again.
TTL_S = 20
AGAIN_S = 5.0


def waiting_for_model(reason: str) -> Sentence:
    return Sentence("waiting-for-model", "waiting for the model: {reason}", reason=reason)


def waiting_for_room(reason: str) -> Sentence:
    return Sentence("waiting-for-room", "waiting for room: {reason}", reason=reason)


def waiting_for_another_try(reason: str) -> Sentence:
    return Sentence("waiting-for-another-try", "waiting for another try: {reason}", reason=reason)


class Word:
    """The reason that one shard reports for its wait."""

    def __init__(self, connection: Redis, job_id: str, shard: int) -> None:
        self._connection = connection
        self._key = f"{KEY}{job_id}:{shard}"
        self._said: str | None = ""  # it is not known what an earlier process reported
        self._said_at = 0.0

    def say(self, reason: Sentence | None) -> None:
        """Report `reason`; None takes the report back. If Redis is away, the next call tries
        again.
        """
        if reason == self._said and (reason is None or time.monotonic() - self._said_at < AGAIN_S):
            return
        with suppress(RedisError):
            if (message := coded(reason)) is None:
                self._connection.delete(self._key)
            else:
                self._connection.set(self._key, message.model_dump_json(), ex=TTL_S)
            self._said, self._said_at = reason, time.monotonic()


def read_waits(connection: Redis) -> dict[str, Sentence]:
    """For each waiting job, the reason that its first waiting shard reported.

    Raises:
        RedisError: Redis is away.
    """
    keys = sorted(_text(key) for key in connection.scan_iter(f"{KEY}*", count=1000))
    reasons = connection.mget(keys) if keys else []
    found: dict[str, Sentence] = {}
    for key, reason in zip(keys, reasons, strict=True):
        if reason is not None:
            with suppress(ValidationError):  # a worker of another version reported it
                said = CodedMessage.model_validate_json(reason).sentence()
                found.setdefault(key.removeprefix(KEY).rsplit(":", 1)[0], said)
    return found


def _text(value: bytes | str) -> str:
    return value if isinstance(value, str) else value.decode()
