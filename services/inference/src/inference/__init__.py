"""Waits for a published model, chooses vLLM's flags for the host, runs vLLM and checks it."""
