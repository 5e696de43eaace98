"""What the stack does on one GPU, with the demo's model.

The tests run in this order, because they share a server: it waits for its first model, answers
jobs, is stopped in the middle of one, and takes up a newer model.
"""

import signal
import time
from pathlib import Path

import pytest
from bench.gpu_stack import MODEL, Gaps, GpuStack

from gpu_jobs import Jobs, Served, accuracy, share_equal
from orchestrator.jobs.records import Answer
from orchestrator.local.guardian import session_members

# measured on 1,830 questions: 0.89 (cu12) and 0.82 (cu13); each stack's training rounds differently
LEAST_ACCURACY = 0.75
# with the same weights on the same card, all samples were equal wherever this was measured
LEAST_EQUAL = 0.995


@pytest.fixture(scope="module")
def undisturbed(served: Served, jobs: Jobs, problems: Path) -> list[Answer]:
    return jobs.answers(served.launcher, problems)


def test_the_launcher_waits_for_its_first_model(served: Served) -> None:
    assert "waiting for a published model" in served.told[0]
    assert any("trainer" in message for message in served.told[1:])
    assert f"{served.first.name} is served as it was trained" in served.launcher.text()


def test_a_job_is_answered_as_well_as_on_a_cpu(undisturbed: list[Answer]) -> None:
    assert accuracy(undisturbed) >= LEAST_ACCURACY
    assert all(len(answer.samples) >= 2 for answer in undisturbed)
    print(f"\n{len(undisturbed)} questions, accuracy {accuracy(undisturbed):.3f}")


def test_a_job_outlives_a_stop_of_the_server(
    served: Served,
    jobs: Jobs,
    problems: Path,
    undisturbed: list[Answer],
) -> None:
    with jobs.running(served.launcher, problems) as job:
        served.launcher.until(lambda: job.show().request_counts.completed > 0, each_s=0.02)
        served.launcher.process.send_signal(signal.SIGTERM)
        assert served.launcher.process.wait(60) == 0
        before = job.show()
        assert before.request_counts.completed < before.request_counts.total
        served.launcher.start()
        answers = job.finish()
    assert "abort" not in {sample.finish_reason for a in answers for sample in a.samples}
    equal = share_equal(answers, undisturbed)
    print(f"\nstopped after {before.request_counts.completed}; {equal:.4f} of the answers equal")
    assert equal >= LEAST_EQUAL


def test_a_newer_model_is_taken_up_and_no_job_is_lost(
    served: Served, jobs: Jobs, problems: Path, gpu_stack: GpuStack
) -> None:
    with Gaps(served.launcher) as gaps:
        recipe = gpu_stack.recipe(MODEL, training="seed = 44")
        gpu_stack.start_trainer(recipe, "train-newer").finish()
        newer = gpu_stack.published()
        assert newer != served.first
        published_s = time.monotonic()
        answers = jobs.answers(served.launcher, problems)  # it asks for the newer weights
        waited_s = time.monotonic() - published_s
        served.launcher.until_served(newer.name)
    print(
        f"\n{gaps.longest_s:.1f} s without a server while the newer model was taken up; "
        f"a job posted at once was answered {waited_s:.1f} s after it was published"
    )
    assert accuracy(answers) >= LEAST_ACCURACY


def test_the_server_leaves_no_process_behind(served: Served) -> None:
    launcher = served.launcher.process
    assert len(session_members(launcher.pid)) > 1
    launcher.terminate()
    assert launcher.wait(60) == 0
    assert session_members(launcher.pid) == []
