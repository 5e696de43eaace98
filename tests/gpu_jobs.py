"""Jobs in front of a launcher, for the tests that need a GPU."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bench.answer import K, service
from bench.gpu_stack import MODEL, PROBLEMS, GpuStack, Launcher

from orchestrator.api.schemas import Job
from orchestrator.cli.client import Client
from orchestrator.jobs.reading import JobReader
from orchestrator.jobs.records import Answer
from orchestrator.local.guardian import session_members
from orchestrator.local.processes import Processes

OTHER, NF4 = "quorum-other", "quorum-nf4"


class Served:
    """The demo's model, served from before it was published. `told` holds what the launcher told
    its clients until it served.
    """

    def __init__(self, stack: GpuStack, launcher: Launcher, told: list[str]) -> None:
        self.stack = stack
        self.launcher = launcher
        self.told = told
        self.first = stack.published()


class RunningJob:
    """A job that was posted."""

    def __init__(self, client: Client, file: Path, data: Path, processes: Processes) -> None:
        self._client, self._data, self._processes = client, data, processes
        self.id = client.submit(file, {"samples": K}).id

    def show(self) -> Job:
        return self._client.show(self.id)

    def finish(self) -> list[Answer]:
        """Its answers, in the order of the file. Fails if it does not complete."""
        while (job := self.show()).status not in ("completed", "failed", "cancelled"):
            time.sleep(0.2)
        assert job.status == "completed", job.error
        lines = self.result("answers.jsonl").splitlines()
        return [Answer.model_validate_json(line) for line in lines]

    def result(self, name: str) -> bytes:
        """A file of the job, which has completed."""
        file = JobReader(self._data).result(self.id, name)
        assert file is not None
        return file.read_bytes()

    def kill_worker(self) -> None:
        """Kill the worker and its children with -9; another one is started."""
        worker = next(c for c in self._processes.children if c.name == "worker-1")
        for pid in session_members(worker.process.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


class Jobs:
    """Posts jobs to a Redis, an API and a worker of their own, in front of a launcher."""

    def __init__(self, stack: GpuStack, folder: Path) -> None:
        self._stack, self._folder, self._count = stack, folder, 0

    @contextmanager
    def running(
        self, launcher: Launcher, file: Path = PROBLEMS, model: str = MODEL, **settings: str
    ) -> Iterator[RunningJob]:
        """A job, in front of which API and worker have these settings."""
        self._count += 1
        state = self._folder / str(self._count)
        given = {"MODELS_DIR": str(self._stack.models), **settings}
        with (
            service(launcher.url, model, "published", state, **given) as (stack, processes),
            Client(stack.api_url) as client,
        ):
            yield RunningJob(client, file, state / "data", processes)

    def answers(
        self, launcher: Launcher, file: Path = PROBLEMS, model: str = MODEL
    ) -> list[Answer]:
        with self.running(launcher, file, model) as job:
            return job.finish()


def accuracy(answers: list[Answer]) -> float:
    return sum(answer.answer == answer.key for answer in answers) / len(answers)


def share_equal(some: list[Answer], others: list[Answer]) -> float:
    """The share of the questions with the same answer and the same samples."""
    assert [(a.id, a.index) for a in some] == [(a.id, a.index) for a in others]

    def drawn(answer: Answer) -> list[tuple[int, str]]:
        return sorted((sample.seed, sample.text) for sample in answer.samples)

    pairs = zip(some, others, strict=True)
    equal = [a.answer == b.answer and drawn(a) == drawn(b) for a, b in pairs]
    return sum(equal) / len(equal)
