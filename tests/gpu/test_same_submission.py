"""What DETERMINISTIC=true promises, on one GPU with the demo's model."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from bench.gpu_stack import MODEL, GpuStack, Launcher

from gpu_jobs import Jobs
from orchestrator.jobs.records import Answer


def same_samples(some: list[Answer], others: list[Answer]) -> bool:
    """True if samples with the same seed have the same text. A vote drawn at once has further ones,
    and which votes are depends on the time.
    """
    one, other = (
        {(a.id, a.index, sample.seed): sample.text for a in answers for sample in a.samples}
        for answers in (some, others)
    )
    shared = one.keys() & other.keys()
    assert len(shared) >= 2 * len(some)  # of each question those that settle the vote
    return all(one[key] == other[key] for key in shared)


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
        assert same_samples(job.finish(), answers)
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
        assert same_samples(job.finish(), answers)
        assert job.result("submission.jsonl") == submission


def test_a_restarted_server_does_not_change_the_submission(
    deterministic: Launcher, jobs: Jobs, problems: Path, usual: tuple[bytes, list[Answer]]
) -> None:
    submission, answers = usual
    deterministic.stop()
    deterministic.start()
    deterministic.until(lambda: deterministic.health()[0] == 200)
    with jobs.running(deterministic, problems) as job:
        assert same_samples(job.finish(), answers)
        assert job.result("submission.jsonl") == submission
