"""The objects that the routes use, and the two background loops."""

from __future__ import annotations

import asyncio

from contract import Sentence
from orchestrator.api.job_views import JobViews
from orchestrator.api.model_watch import ModelWatch
from orchestrator.api.work_watch import WorkWatch
from orchestrator.background import repeat
from orchestrator.jobs.calibrations import Calibrations
from orchestrator.jobs.questions import QuestionReader
from orchestrator.jobs.store import JobStore
from orchestrator.settings import Settings

SCAN_EVERY_S = 2.0
MODEL_CHECK_EVERY_S = 5.0
SCAN = Sentence("recovery-scan", "the recovery scan")
MODEL_CHECK = Sentence("model-check", "the model check")


class Service:
    """One per API process."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.store = JobStore(settings.data_dir)
        self.questions = QuestionReader(self.store)
        self.calibrations = Calibrations(settings.data_dir)
        self.work = WorkWatch(settings, self.store)
        self.model = ModelWatch(settings)
        self.views = JobViews(self.store, settings.data_dir, self.work, self.model)

    def forget(self, job_id: str) -> None:
        """Drop the data that was read of a job, because it was reopened or deleted."""
        self.views.forget(job_id)
        self.questions.forget(job_id)

    async def watch(self) -> None:
        """Run the recovery scan and the model check repeatedly until cancelled."""
        async with self.model.client() as client, asyncio.TaskGroup() as group:

            async def check() -> None:
                await self.model.check(client)

            scan = repeat(SCAN, self.work.scan, SCAN_EVERY_S, self.work.failed)
            group.create_task(scan)
            checking = repeat(MODEL_CHECK, check, MODEL_CHECK_EVERY_S, self.model.found)
            group.create_task(checking)
