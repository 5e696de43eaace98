"""Decides if a vote is drawn at once, in one request, or in rounds that may stop early.

The winner is the same. Rounds save the samples that could not change it, but cost another request
for each vote that the first round leaves open. So with short replies they cost more than they save.
And if no further question waits for a place, rounds only make the vote end later.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from orchestrator.jobs.records import Answer, JobSettings
from orchestrator.jobs.vote import (
    NO_PANEL,
    SOLE_VOTER,
    Slot,
    draws_needed,
    in_panel,
    slot_of,
    weigher,
)

# A request costs vLLM about as much time as this many reply tokens: docs/benchmarks.md.
REQUEST_TOKENS = 20


class AtOnce:
    """Counts how the votes of a shard went. `is_free`: samples cost no money, as on a server of
    one's own. `voters` has the voters' weights by name, in turn.
    """

    def __init__(
        self, settings: JobSettings, *, is_free: bool, voters: Mapping[str, float] = NO_PANEL
    ) -> None:
        self._settings = settings
        self._voters = voters
        self._weigh = in_panel(weigher(settings.vote, settings.vote_temperature), voters)
        self._may = is_free and settings.early_stop
        self._first = self._needed([])
        self._votes = self._left_open = self._samples = self._tokens = 0

    def _needed(self, slots: Sequence[Slot]) -> int:
        weights = [*self._voters.values()] or SOLE_VOTER
        return draws_needed(slots, self._settings.samples, early_stop=True, voters=weights)

    def note(self, answer: Answer) -> None:
        if not self._may or answer.answer is None:
            return
        last = {sample.slot: sample for sample in answer.samples}
        slots = [slot_of(last[n], self._weigh) for n in range(self._first) if n in last]
        self._votes += 1
        self._left_open += self._needed(slots) > 0
        self._samples += len(answer.samples)
        self._tokens += sum(sample.tokens for sample in answer.samples)

    def pays(self, *, nothing_follows: bool) -> bool:
        """True if the next vote should be drawn at once. `nothing_follows`: the server has room,
        because no further question waits for a place.
        """
        if not self._may or self._first == self._settings.samples:
            return False
        if nothing_follows or not self._votes:
            return nothing_follows
        settled = self._votes - self._left_open
        spared = (self._settings.samples - self._first) * self._tokens / max(self._samples, 1)
        return settled * spared <= self._left_open * REQUEST_TOKENS
