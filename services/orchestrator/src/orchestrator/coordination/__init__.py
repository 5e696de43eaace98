"""All code that uses Redis or RQ: queues, leases, heartbeats, counters, recovery."""
