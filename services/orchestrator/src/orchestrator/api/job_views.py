"""Jobs as the API shows them: status, counts, rates, and a note with the reason of a wait."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from contract import Sentence
from orchestrator.api.model_watch import ModelWatch
from orchestrator.api.schemas import ENDED, Job, JobList, Status
from orchestrator.api.volume import room_fault
from orchestrator.api.work_watch import WorkWatch
from orchestrator.coordination.waiting import (
    waiting_for_another_try,
    waiting_for_model,
    waiting_for_room,
)
from orchestrator.errors import JobDamagedError, JobNotFoundError, NotReadyError
from orchestrator.jobs.listing import Filters, JobFinder
from orchestrator.jobs.progress import ProgressReader
from orchestrator.jobs.records import EndFile, JobFile
from orchestrator.jobs.store import JobStore
from orchestrator.model import ServedModel

# Between two of its shards a job has no worker for a moment.
IDLE_S = 4.0
_NO_WORKER = Sentence(
    "waiting-for-worker",
    "waiting for a worker: none is running; start one (docker compose up -d worker)",
)
_SILENT_WORKER = Sentence(
    "waiting-for-silent-worker",
    "waiting for a worker: one that has questions of this job does not respond; another worker "
    "takes them over within 20 s",
)
_NOT_TAKEN_UP = Sentence(
    "waiting-for-any-worker", "waiting for a worker: no worker has taken this job up yet"
)
_NO_TURN = Sentence("waiting-for-turn", "waiting for its turn: every worker is at another job")


class JobViews:
    """Views of a store's jobs. `data_dir` is on the jobs' volume."""

    def __init__(self, store: JobStore, data_dir: Path, work: WorkWatch, model: ModelWatch) -> None:
        self._store = store
        self._data_dir = data_dir
        self._work = work
        self._model = model
        self._progress = ProgressReader(store)
        self._finder = JobFinder(store)

    def view(self, job_id: str) -> Job:
        """The job's current state. A damaged job is shown as failed, with the reason."""
        try:
            return self._view(self._store.load_whole(job_id))
        except JobDamagedError as error:
            return Job.damaged(job_id, self._readable(job_id), error.sentence)

    def page(self, filters: Filters, after: str | None, limit: int) -> JobList:
        """The newest `limit` jobs that match, of those after `after`.

        The last page may say `has_more` if a job's status changed in between; the next page is then
        empty.
        """
        shown: list[Job] = []
        for job_id in self._finder.find(filters, after):
            if len(shown) == limit:
                return JobList(data=shown, has_more=True)
            with suppress(JobNotFoundError):  # deleted since
                view = self.view(job_id)
                if not filters.statuses or view.status in filters.statuses:
                    shown.append(view)
        return JobList(data=shown, has_more=False)

    def status(self, job_id: str) -> Status:
        try:
            end = self._store.end(job_id)
            return end.status if end else self._status(self._store.load_whole(job_id), None)
        except JobDamagedError:
            return "failed"

    def result(self, job_id: str, name: str) -> Path:
        """The path of a result file of an ended job.

        Raises:
            NotReadyError: the file does not exist, or not yet.
        """
        path = self._store.result(job_id, name)
        if path is None:
            raise NotReadyError(_no_result(name, self.view(job_id)))
        return path

    def forget(self, job_id: str) -> None:
        """Drop the data that was read of a job, because it was reopened or deleted."""
        self._progress.forget(job_id)

    def _readable(self, job_id: str) -> JobFile | None:
        try:
            return self._store.load(job_id)
        except JobDamagedError:
            return None

    def _view(self, job: JobFile) -> Job:
        job_id = job.id
        started = self._store.started(job_id)
        end = self._store.end(job_id)  # read before the counts: an ended job's counts are final
        if end is not None and end.counts is not None:
            self._progress.forget(job_id)
            return Job.of(job, end.counts, end.status, started, end, None)
        progress = self._progress.read(job)
        status = self._status(job, end)
        note = None if status in ENDED else self._note(job_id, status)
        view = Job.of(job, progress.counts, status, started, end, note)
        if end is None:
            view.questions_per_s = progress.questions_per_s
            view.samples_per_s = progress.samples_per_s
            view.eta_s = None if note else progress.eta_s(job.questions)
        return view

    def _status(self, job: JobFile, end: EndFile | None) -> Status:
        if end is not None:
            return end.status
        if self._store.is_cancelling(job.id):
            return "cancelling"
        return "in_progress" if self._store.open_shards(job) else "finalizing"

    def _note(self, job_id: str, status: Status) -> str | None:
        """The reason why a job waits; None if it does not wait or has ended."""
        work = self._work
        if room := room_fault(self._data_dir):
            return waiting_for_room(room)
        if work.state != "ok":
            return work.state
        if not work.workers:
            return _NO_WORKER
        if job_id in work.scheduler.faults:
            return waiting_for_another_try(work.scheduler.faults[job_id])
        if job_id in work.waits:
            return work.waits[job_id]
        if job_id in work.silent:
            return _SILENT_WORKER
        if status != "in_progress":
            return None  # the job no longer needs the model
        return self._model_note(job_id) or self._turn_note(job_id)

    def _model_note(self, job_id: str) -> Sentence | None:
        pinned, served = self._store.pinned(job_id), self._model.served
        if pinned is not None and served:
            name = ServedModel.from_contract(pinned).name
            if name in served:
                return None
            return waiting_for_model(
                Sentence(
                    "other-weights",
                    "the job was started with the weights {weights}; {served} are served now",
                    weights=name,
                    served=", ".join(sorted(served)),
                )
            )
        return None if self._model.state == "ok" else waiting_for_model(self._model.state)

    def _turn_note(self, job_id: str) -> Sentence | None:
        if self._work.idle_s(job_id) < IDLE_S:
            return None
        return _NO_TURN if self._work.at_work else _NOT_TAKEN_UP


def _no_result(name: str, job: Job) -> Sentence:
    counts = job.request_counts
    reason = job.error_message.sentence() if job.error_message else job.error
    return Sentence(
        "no-result",
        "{file} is not there; the job is {status}: {reason}",
        file=name,
        status=job.status,
        reason=reason
        or Sentence(
            "questions-done",
            "{done} of {total} questions are done",
            done=counts.completed + counts.failed,
            total=counts.total,
        ),
    )
