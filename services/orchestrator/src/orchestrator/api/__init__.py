"""The HTTP API: it accepts files, shows jobs and returns results. Workers answer the questions."""
