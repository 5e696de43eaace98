"""Job directories, and all results computed from them. No Redis and no HTTP."""
