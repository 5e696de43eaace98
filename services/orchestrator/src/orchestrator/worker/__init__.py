"""The worker: it answers the questions of one shard at a time."""
