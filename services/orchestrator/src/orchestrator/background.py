"""Loops beside the API's calls. None of them ends before it is told to, whatever goes wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

log = structlog.get_logger("quorum")


async def repeat(
    name: str,
    step: Callable[[], Awaitable[None]],
    every_s: float,
    failed: Callable[[str], None],
) -> None:
    """Run `step` again and again, with a pause between.

    An exception is handed to `failed` in words, so that the state that others read is never an old
    one. Its traceback is logged once for each kind until `step` passes again.
    """
    known: set[str] = set()
    while True:
        try:
            await step()
        except Exception as error:  # a loop that ends is a fault nobody sees
            reason = f"{type(error).__name__}: {error}"
            failed(f"{name} failed and is tried again every {every_s:g} s ({reason})")
            kind = f"{type(error)} at {_place(error)}"
            if kind not in known:
                known.add(kind)
                log.error("a background task failed; it is tried again", task=name, exc_info=error)
        else:
            if known:
                log.info("a background task passes again", task=name)
                known.clear()
        await asyncio.sleep(every_s)


def _place(error: Exception) -> str:
    """The line that raised it."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace else ""
