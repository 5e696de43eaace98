"""Standard output whose loss ends nothing: the terminal may be closed, the disk of the log full."""

from __future__ import annotations

from contextlib import suppress
from typing import IO, Any


class Unfailing:
    """A text stream; what cannot be written is dropped."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
