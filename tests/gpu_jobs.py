"""Jobs in front of a launcher, for the tests that need a GPU."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.answer import K, service
from bench.gpu_stack import MODEL, PROBLEMS, GpuStack, Launcher

from orchestrator.api.schemas import Job
from orchestrator.cli.client import Client
from orchestrator.jobs.reading import JobReader
from orchestrator.jobs.records import Answer

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

    def __init__(self, client: Client, file: Path, data: Path) -> None:
        self._client, self._data = client, data
        self.id = client.submit(file, {"samples": K}).id

    def show(self) -> Job:
        return self._client.show(self.id)

    def finish(self) -> list[Answer]:
        """Its answers, in the order of the file. Fails if it does not complete."""
        while (job := self.show()).status not in ("completed", "failed", "cancelled"):
            time.sleep(0.2)
        assert job.status == "completed", job.error
        file = JobReader(self._data).result(self.id, "answers.jsonl")
        assert file is not None
        return [Answer.model_validate_json(line) for line in file.read_bytes().splitlines()]


class Jobs:
    """Posts jobs to a Redis, an API and a worker of their own, in front of a launcher."""

    def __init__(self, stack: GpuStack, folder: Path) -> None:
        self._stack, self._folder, self._count = stack, folder, 0

    @contextmanager
    def running(
        self, launcher: Launcher, file: Path = PROBLEMS, model: str = MODEL
    ) -> Iterator[RunningJob]:
        self._count += 1
        state = self._folder / str(self._count)
        models = {"MODELS_DIR": str(self._stack.models)}
        with (
            service(launcher.url, model, "published", state, **models) as (stack, _),
            Client(stack.api_url) as client,
        ):
            yield RunningJob(client, file, state / "data")

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
