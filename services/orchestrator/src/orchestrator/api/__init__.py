"""The HTTP API: it accepts files, shows jobs and hands out results. Workers do the answering."""
