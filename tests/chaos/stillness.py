"""How long a job stands still, and after how long its note says why."""

from __future__ import annotations

import time


class Stillness:
    """How long a job stands still, and for how much of that without a note.

    While the API does not answer, nobody can be told anything: that time does not count.
    """

    def __init__(self) -> None:
        self.since_s = time.monotonic()
        self.note_s: float | None = None
        self.silence_s = 0.0
        self._is_noted = False

    def moved(self) -> None:
        self.since_s, self._is_noted = time.monotonic(), False

    def seen(self, note: str | None, words: tuple[str, ...]) -> bool:
        """Record a view of the job. True if its note names a reason that is in `words`."""
        for_s = time.monotonic() - self.since_s
        if note and (not words or any(word in note for word in words)):
            if not self._is_noted:
                self._is_noted = True
                self.note_s = max(self.note_s or 0.0, for_s)
            return True
        if not self._is_noted:
            self.silence_s = max(self.silence_s, for_s)
        return False
