"""Answers whole problem files by vote: HTTP API, RQ shards, sampling, job store, CLI and local
mode.

Files are the truth, Redis is the clock: a job is a directory, and everything in Redis can be
rebuilt from it.
"""
