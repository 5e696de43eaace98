"""The job directory, and what is computed from it. No Redis and no HTTP."""
