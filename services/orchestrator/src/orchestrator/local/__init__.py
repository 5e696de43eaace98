"""Local mode: the compose stack's processes, started by the same commands on one machine."""
