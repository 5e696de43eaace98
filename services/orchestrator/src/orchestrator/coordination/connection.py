"""Connections to Redis, and the error that is raised if Redis does not answer.

Everything in Redis can be rebuilt from the job directories.
"""

from __future__ import annotations

import redis.asyncio
from redis import Redis
from redis.exceptions import RedisError

# The names that the other rooms use. They know nothing else about Redis.
Connection = Redis
AsyncConnection = redis.asyncio.Redis
CoordinationError = RedisError


def connect(url: str, timeout_s: float) -> Connection:
    """A connection whose commands fail after `timeout_s` without a reply. It sends nothing yet."""
    return Redis.from_url(url, socket_timeout=timeout_s)


def connect_async(url: str, timeout_s: float) -> AsyncConnection:
    return redis.asyncio.from_url(url, socket_timeout=timeout_s)


async def connection_state(url: str, timeout_s: float) -> str:
    """ "ok", or the reason why Redis cannot be used."""
    try:
        async with connect_async(url, timeout_s) as connection:
            await connection.ping()
    except (RedisError, OSError) as error:
        return str(error)
    return "ok"
