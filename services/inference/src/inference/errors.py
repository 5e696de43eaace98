"""The launcher's one refusal."""

from __future__ import annotations


class RefusedError(Exception):
    """This cannot be served here. The message is one line, with the remedy."""
