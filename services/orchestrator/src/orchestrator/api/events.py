"""A job's progress as server-sent events (WHATWG HTML, section 9.2)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from fastapi.sse import format_sse_event

from orchestrator.api.schemas import ENDED, Job
from orchestrator.api.service import Service
from orchestrator.errors import JobNotFoundError

POLL_S = 0.5
KEEP_ALIVE_S = 15.0


def event_id(job: Job) -> str:
    """The id of a job's state; equal states have equal ids."""
    counts = job.request_counts
    return f"{job.status}-{counts.completed + counts.failed}-{job.samples.drawn}"


async def progress_events(service: Service, job: Job, last_id: str | None) -> AsyncIterator[bytes]:
    """Yield `progress` when the job has changed since `last_id`, at most twice a second, and `end`
    when it ends. Both carry the job. Comments keep the connection alive in between.
    """
    quiet_s = 0.0
    while True:
        current = event_id(job)
        ended = job.status in ENDED
        if current != last_id or ended:
            kind = "end" if ended else "progress"
            yield format_sse_event(data_str=job.model_dump_json(), event=kind, id=current)
            last_id, quiet_s = current, 0.0
        elif quiet_s >= KEEP_ALIVE_S:
            yield format_sse_event(comment="still here")
            quiet_s = 0.0
        if ended:
            return
        await asyncio.sleep(POLL_S)
        quiet_s += POLL_S
        try:
            job = await asyncio.to_thread(service.views.view, job.id)
        except JobNotFoundError:  # it was deleted
            return
