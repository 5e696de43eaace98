"""How long a job stands still, and after how long its note says why."""

from __future__ import annotations

import time


class Stillness:
    """`note_s` is the longest time from a job's last step until its note said why it stands still,
    `silence_s` the longest time that it stood still without such a note, before one or after it.

    While the API does not answer, nobody can be told anything: that time does not count.
    """

    def __init__(self) -> None:
        self.note_s: float | None = None
        self.silence_s = 0.0
        self._moved_at_s = self._noted_at_s = time.monotonic()

    def moved(self) -> None:
        """The job made a step, or the API did not answer."""
        self._moved_at_s = time.monotonic()

    def seen(self, note: str | None, words: tuple[str, ...]) -> bool:
        """Record a view of the job. True if its note names one of `words`, or if there are none and
        it says anything.
        """
        now = time.monotonic()
        says_why = bool(note) and (not words or any(word in str(note) for word in words))
        if not says_why:
            silent_since_s = max(self._moved_at_s, self._noted_at_s)
            self.silence_s = max(self.silence_s, now - silent_since_s)
        elif self._noted_at_s <= self._moved_at_s:
            self.note_s = max(self.note_s or 0.0, now - self._moved_at_s)
        if says_why:
            self._noted_at_s = now
        return says_why
