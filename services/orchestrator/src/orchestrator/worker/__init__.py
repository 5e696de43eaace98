"""The worker: it answers the questions of shards, one shard at a time."""
