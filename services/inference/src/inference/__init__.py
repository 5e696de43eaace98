"""Waits for a published model, decides the server's flags from host, contract and settings, and
becomes vLLM.
"""
