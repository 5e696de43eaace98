"""The model server as a child process. Its output is passed on, and its last part is kept."""

from __future__ import annotations

import logging
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from inference.held import IMPORTED

log = logging.getLogger("inference")

KEPT_BYTES = 1 << 18
PIECE_BYTES = 1 << 16
# A child of the dead server may keep the pipe open.
READ_S = 2.0
# After the server's end, its children have this long to end by themselves.
LEFTOVERS_S = 5.0
POLL_S = 0.05
_ERROR = re.compile(rb"\b[\w.]{0,100}(?:Error|Exception): \S.*")
# vLLM's last error only points at an earlier one.
_POINTER = b"See root cause above"


class Engine:
    """A server that has imported its module at most, until it is released.

    `command` is the module and its arguments. The server and its children are a process group.
    """

    def __init__(
        self, command: Sequence[str], environment: Mapping[str, str], folder: Path
    ) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "inference.held", *command],
            env=environment,
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            process_group=0,
        )
        assert self._process.stdout is not None
        self.output = b""
        self._asked_to_end = False
        reading = (self._process.stdout.fileno(),)
        self._reader = threading.Thread(target=self._pass_on, args=reading, daemon=True)
        self._reader.start()

    def _pass_on(self, output: int) -> None:
        """Pass on what was written at once: a progress bar writes no newline for minutes."""
        while piece := os.read(output, PIECE_BYTES):
            self.output = (self.output + piece)[-KEPT_BYTES:]
            with suppress(OSError):  # a full pipe would halt the server
                sys.stdout.buffer.write(piece)
                sys.stdout.buffer.flush()

    @property
    def has_imported(self) -> bool:
        return IMPORTED.encode() in self.output

    def release(self) -> None:
        """Let it run."""
        assert self._process.stdin is not None
        with suppress(BrokenPipeError):  # it has died, which its exit code says
            self._process.stdin.write(b"\n")
            self._process.stdin.close()

    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._process.poll()

    def last_error(self) -> str:
        """The last error in its output, or else its last line."""
        self._reader.join(READ_S)
        lines = [line.strip() for line in self.output.splitlines() if line.strip()]
        errors = [
            found[0] for line in lines if (found := _ERROR.search(line)) and _POINTER not in line
        ]
        last = (errors or lines or [b"it wrote nothing"])[-1]
        return last.decode(errors="replace")[:300]

    def ask_to_end(self) -> None:
        """Send SIGTERM, once: a second one would break off the requests that may end first."""
        if not self._asked_to_end:
            self._asked_to_end = True
            self._process.terminate()

    def stop(self, within_s: float) -> None:
        """Ask it to end, and kill it if it has not ended within that time. No child is left."""
        self.ask_to_end()
        try:
            self._process.wait(within_s)
        except subprocess.TimeoutExpired:
            log.warning("the server did not end within %.0f s and was killed", within_s)
            self._process.kill()
            self._process.wait()
        self._end_children()

    def _end_children(self) -> None:
        """Wait until they have gone, because one of them may hold a GPU's memory."""
        if not self._has_gone(0):
            log.warning("the server's children outlived it and are killed")
            self._has_gone(signal.SIGKILL)

    def _has_gone(self, number: int) -> bool:
        """True once no process of the group is left, False after `LEFTOVERS_S`. Those that are left
        get this signal; 0 is none.
        """
        until_s = time.monotonic() + LEFTOVERS_S
        while time.monotonic() < until_s:
            try:
                os.killpg(self._process.pid, number)
            except ProcessLookupError:
                return True
            time.sleep(POLL_S)
        return False
