"""Ends the processes of local mode when `quorum local` itself has ended, for whatever reason.

    python -m orchestrator.local.guardian GRACE_S

Standard input is a pipe; `quorum local` holds the other end. Each child writes `+PID`, its session,
before it executes its program. `quorum local` writes `-PID` once a session is empty. When the pipe
closes, all sessions that are left are ended.
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
# Announces the child, then replaces the shell with the child's program, with empty standard input.
# (The echo runs in a subshell, so that only the echo fails if the guardian was killed.)
ANNOUNCE = ["/bin/sh", "-c", '(echo "+$$" >&0); exec "$@" </dev/null', "sh"]


def session_members(*sessions: int) -> list[int]:
    """The living processes of some sessions, without zombies.

    Sessions and not process groups: an RQ work horse leaves its worker's group but not its session.
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
    """Ask all processes of some sessions to end, and kill those that are left after `grace_s`."""
    signal_sessions(sessions, signal.SIGTERM)
    deadline = time.monotonic() + grace_s
    while session_members(*sessions) and time.monotonic() < deadline:
        time.sleep(POLL_S)
    while session_members(*sessions):  # repeated for processes forked in between
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
