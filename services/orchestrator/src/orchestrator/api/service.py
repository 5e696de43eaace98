"""What the routes work with, and the two loops that run beside them."""

from __future__ import annotations

import asyncio

from orchestrator.api.job_views import JobViews
from orchestrator.api.model_watch import ModelWatch
from orchestrator.api.work_watch import WorkWatch
from orchestrator.background import repeat
from orchestrator.jobs.questions import QuestionReader
from orchestrator.jobs.store import JobStore
from orchestrator.settings import Settings

SCAN_EVERY_S = 2.0
MODEL_CHECK_EVERY_S = 5.0


class Service:
    """One per process of the API."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.store = JobStore(settings.data_dir)
        self.questions = QuestionReader(self.store)
        self.work = WorkWatch(settings, self.store)
        self.model = ModelWatch(settings)
        self.views = JobViews(self.store, settings.data_dir, self.work, self.model)

    def forget(self, job_id: str) -> None:
        """Forget what was read of a job that was opened again or deleted."""
        self.views.forget(job_id)
        self.questions.forget(job_id)

    async def watch(self) -> None:
        """Keep the recovery scan and the model check going until cancelled."""
        async with self.model.client() as client, asyncio.TaskGroup() as group:

            async def check() -> None:
                await self.model.check(client)

            scan = repeat("the recovery scan", self.work.scan, SCAN_EVERY_S, self.work.failed)
            group.create_task(scan)
            checking = repeat("the model check", check, MODEL_CHECK_EVERY_S, self.model.found)
            group.create_task(checking)
