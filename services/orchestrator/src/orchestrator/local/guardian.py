"""Ends the processes of local mode when `quorum local` itself is gone, however it went.

    python -m orchestrator.local.guardian GRACE_S

Standard input is a pipe whose other end `quorum local` holds. On it each child says `+PID`, its
session, before it becomes its program, and `quorum local` says `-PID` once a session is empty. When
the pipe ends, so that nobody can say anything any more, every session left is ended.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

POLL_S = 0.2
# From here on a child is its program, with nothing on its standard input.
# (In a subshell, so that a guardian that was killed costs the echo alone.)
ANNOUNCE = ["/bin/sh", "-c", '(echo "+$$" >&0); exec "$@" </dev/null', "sh"]


def session_members(*sessions: int) -> list[int]:
    """Every living process of some sessions; zombies are none.

    An RQ work horse leaves its worker's group, but not its session.
    """
    members = []
    for entry in Path("/proc").iterdir():
        with suppress(OSError):
            if entry.name.isdigit():
                state, _, _, session = (entry / "stat").read_text().rpartition(")")[2].split()[:4]
                if int(session) in sessions and state != "Z":
                    members.append(int(entry.name))
    return members


def end_sessions(sessions: Collection[int], grace_s: float) -> None:
    """Ask every process of some sessions to end, and kill what is left after `grace_s`."""
    signal_sessions(sessions, signal.SIGTERM)
    deadline = time.monotonic() + grace_s
    while session_members(*sessions) and time.monotonic() < deadline:
        time.sleep(POLL_S)
    while session_members(*sessions):  # again, for what was forked meanwhile
        signal_sessions(sessions, signal.SIGKILL)
        time.sleep(POLL_S / 10)


def signal_sessions(sessions: Collection[int], number: signal.Signals) -> None:
    for pid in session_members(*sessions):
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def main(grace_s: str) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    sessions: set[int] = set()
    for line in sys.stdin:
        if line.startswith("+"):
            sessions.add(int(line))
        else:
            sessions.discard(-int(line))
    end_sessions(sessions, float(grace_s))


if __name__ == "__main__":
    main(*sys.argv[1:])
