"""Background loops of the API. An error does not end a loop; only a cancellation does."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from contract import Sentence

log = structlog.get_logger("quorum")


async def repeat(
    name: Sentence,
    step: Callable[[], Awaitable[None]],
    every_s: float,
    failed: Callable[[Sentence], None],
) -> None:
    """Run `step` again and again, with a pause between.

    If `step` raises, `failed` gets a sentence about it, so that the reported state is never stale.
    The traceback of each kind of error is logged once until `step` succeeds again.
    """
    known: set[str] = set()
    while True:
        try:
            await step()
        except Exception as error:  # nobody would notice a loop that ended
            failed(
                Sentence(
                    "background-task-failed",
                    "{task} failed and is tried again every {seconds:g} s ({error})",
                    task=name,
                    seconds=every_s,
                    error=f"{type(error).__name__}: {error}",
                )
            )
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
    """The line that raised the error."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace else ""
