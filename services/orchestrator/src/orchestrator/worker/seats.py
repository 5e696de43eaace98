"""The servers of a job's voters: each voter of a panel has its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from contract import Sentence
from orchestrator.worker.asking import Server
from orchestrator.worker.plan import Voter


class Seat(NamedTuple):
    """A voter of a panel, and the server that it is asked at."""

    voter: Voter
    server: Server


class Servers:
    """`of_voter` is empty for a job without a panel, which asks `sole`."""

    def __init__(self, of_voter: Mapping[str, Server], sole: Server) -> None:
        self._of_voter = of_voter
        self._sole = sole

    def of(self, voter: Voter) -> Server:
        return self._of_voter.get(voter.name, self._sole)

    def named(self, voter: Voter, reason: Sentence) -> Sentence:
        """`reason`, with the voter's name if the job has a panel."""
        return of_voter(voter.name, reason) if self._of_voter else reason

    @property
    def is_stuck(self) -> bool:
        """True if requests are open, and each of them waits for its next try."""
        endpoints = [server.endpoint for server in self._all]
        is_open = [endpoint.is_stuck for endpoint in endpoints if endpoint.is_open]
        return bool(is_open) and all(is_open)

    def waits_for(self) -> Sentence | None:
        """The reason for waiting, as a job's note: of the first voter that waits."""
        if not self._of_voter:
            return self._sole.endpoint.waits_for()
        for name, server in self._of_voter.items():
            if (reason := server.endpoint.waits_for()) is not None:
                return of_voter(name, reason)
        return None

    @property
    def _all(self) -> list[Server]:
        return [*self._of_voter.values()] or [self._sole]


def of_voter(name: str, reason: Sentence) -> Sentence:
    return Sentence("of-voter", "voter {voter}: {reason}", voter=name, reason=reason)
