"""Jobs that have a worker from which nothing is heard: it is halted, or cut off from Redis."""

from __future__ import annotations

from redis import Redis

from orchestrator.coordination.leases import TTL_S, lease_key

# A lease is renewed every 4 s. With the pause between two scans, a note is there within 10 s.
SILENT_AFTER_S = 7


def silent_jobs(connection: Redis) -> set[str]:
    """The jobs of which a shard's lease was not renewed for `SILENT_AFTER_S`.

    Raises:
        RedisError: Redis is away.
    """
    keys = list(connection.scan_iter(lease_key("*", "[0-9]*"), count=1000))
    pipeline = connection.pipeline(transaction=False)
    for key in keys:
        pipeline.pttl(key)
    left_s = [left_ms / 1000 for left_ms in pipeline.execute()]
    return {
        key.decode().split(":")[2]
        for key, left in zip(keys, left_s, strict=True)
        if 0 <= left < TTL_S - SILENT_AFTER_S
    }
