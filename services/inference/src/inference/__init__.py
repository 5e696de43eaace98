"""Waits for a published model, decides the server's flags for the host, runs and checks vLLM."""
