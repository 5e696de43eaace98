"""What DETERMINISTIC=true promises, on one GPU with the demo's model."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from bench.gpu_stack import MODEL, GpuStack, Launcher

from gpu_jobs import Jobs
from orchestrator.jobs.records import Answer


def samples(answers: list[Answer]) -> list[list[tuple[int, str]]]:
    return [sorted((sample.seed, sample.text) for sample in answer.samples) for answer in answers]


@pytest.fixture(scope="module")
def deterministic(
    trained: Callable[[str], Path], gpu_stack: GpuStack, jobs: Jobs
) -> Iterator[Launcher]:
    trained(MODEL)
    with gpu_stack.launcher("deterministic", DETERMINISTIC="true") as launcher:
        launcher.until_served()
        yield launcher


@pytest.fixture(scope="module")
def usual(deterministic: Launcher, jobs: Jobs, problems: Path) -> tuple[bytes, list[Answer]]:
    """Submission and answers of a job with the worker's usual concurrency."""
    with jobs.running(deterministic, problems) as job:
        answers = job.finish()
        return job.result("submission.jsonl"), answers


@pytest.mark.parametrize("concurrency", ["16", "97", "700"])
def test_submissions_are_equal_at_any_concurrency(
    deterministic: Launcher,
    jobs: Jobs,
    problems: Path,
    usual: tuple[bytes, list[Answer]],
    concurrency: str,
) -> None:
    submission, answers = usual
    with jobs.running(deterministic, problems, CONCURRENCY=concurrency) as job:
        assert samples(job.finish()) == samples(answers)
        assert job.result("submission.jsonl") == submission


def test_a_killed_worker_does_not_change_the_submission(
    deterministic: Launcher, jobs: Jobs, problems: Path, usual: tuple[bytes, list[Answer]]
) -> None:
    submission, answers = usual
    with jobs.running(deterministic, problems) as job:
        deterministic.until(lambda: job.show().request_counts.completed > 0, each_s=0.02)
        job.kill_worker()
        before = job.show().request_counts
        assert before.completed < before.total
        assert samples(job.finish()) == samples(answers)
        assert job.result("submission.jsonl") == submission


def test_a_restarted_server_does_not_change_the_submission(
    deterministic: Launcher, jobs: Jobs, problems: Path, usual: tuple[bytes, list[Answer]]
) -> None:
    submission, answers = usual
    deterministic.stop()
    deterministic.start()
    deterministic.until(lambda: deterministic.health()[0] == 200)
    with jobs.running(deterministic, problems) as job:
        assert samples(job.finish()) == samples(answers)
        assert job.result("submission.jsonl") == submission
