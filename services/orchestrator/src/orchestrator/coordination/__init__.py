"""Everything that knows Redis or RQ: queues, leases, heartbeats, counters, recovery."""
