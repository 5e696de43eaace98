"""SIGTERM and SIGINT as requests: training ends after the step that is under way."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


class StopRequest:
    asked = False


@contextmanager
def stop_requests() -> Iterator[StopRequest]:
    """Inside, either signal only sets `asked`; afterwards both do what they did before."""
    stop = StopRequest()

    def ask(*_: Any) -> None:
        stop.asked = True

    before = {number: signal.signal(number, ask) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
