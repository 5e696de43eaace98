"""Weights in other forms on one GPU: quantized, as an adapter, trained over 4-bit ones."""

from collections.abc import Callable
from pathlib import Path

import pytest
from bench.gpu_stack import MODEL, GpuStack

from gpu_jobs import NF4, OTHER, Jobs, accuracy, share_equal
from orchestrator.jobs.records import Answer

# Compiling and capturing graphs would take longer than it saves here.
EAGER = {"ENFORCE_EAGER": "true"}


@pytest.fixture(scope="module")
def merged(trained: Callable[[str], Path], gpu_stack: GpuStack, jobs: Jobs) -> list[Answer]:
    """The answers of the second model, served merged."""
    trained(OTHER)
    with gpu_stack.launcher("merged", MODEL_NAME=OTHER, **EAGER) as launcher:
        launcher.until_served()
        return jobs.answers(launcher, model=OTHER)


@pytest.mark.parametrize(("quantization", "least"), [("fp8", 0.9), ("int4", 0.5)])
def test_quantized_weights_pass_the_checks_and_answer(
    trained: Callable[[str], Path],
    gpu_stack: GpuStack,
    jobs: Jobs,
    merged: list[Answer],
    quantization: str,
    least: float,
) -> None:
    digest = trained(OTHER).name
    settings = {"MODEL_NAME": OTHER, "QUANTIZATION": quantization, **EAGER}
    with gpu_stack.launcher(quantization, **settings) as launcher:
        launcher.until_served()
        answers = jobs.answers(launcher, model=OTHER)
        said = f"{digest} is served in {quantization}, so not exactly as it was trained"
        assert said in launcher.text()
    pairs = zip(answers, merged, strict=True)
    same = sum(a.answer == b.answer for a, b in pairs) / len(merged)
    print(f"\n{quantization}: accuracy {accuracy(answers):.3f}, bf16 {accuracy(merged):.3f}")
    print(f"the same answer to {same:.3f} of the questions")
    assert accuracy(answers) >= least * accuracy(merged)


def test_a_job_is_answered_through_an_adapter(
    trained: Callable[[str], Path], gpu_stack: GpuStack, jobs: Jobs, merged: list[Answer]
) -> None:
    """A job asks for the name with the digest, so the adapter is served under that name."""
    trained(MODEL)
    name = f"{OTHER}@{trained(OTHER).name}"
    adapters = f"{name}={OTHER}/{trained(OTHER).name}"
    with gpu_stack.launcher("adapter", ADAPTERS=adapters, **EAGER) as launcher:
        launcher.until_served()
        through = jobs.answers(launcher, model=OTHER)
        beside = jobs.answers(launcher, model=MODEL)
    print(f"\n{share_equal(through, merged):.3f} of the questions have the merged model's samples")
    pairs = zip(through, merged, strict=True)
    same = sum(a.answer == b.answer for a, b in pairs) / len(merged)
    assert same >= 0.9  # the merged weights were rounded to bfloat16, the adapter's were not
    assert share_equal(through, beside) < 0.9  # it is not the model that it is served beside


def test_a_model_trained_over_4_bit_weights_is_served(
    trained: Callable[[str], Path], gpu_stack: GpuStack, jobs: Jobs
) -> None:
    digest = trained(NF4).name
    with gpu_stack.launcher("nf4", MODEL_NAME=NF4, **EAGER) as launcher:
        launcher.until_served()
        answers = jobs.answers(launcher, model=NF4)
        assert f"{digest} is served as it was trained" in launcher.text()
    print(f"\nQLoRA: accuracy {accuracy(answers):.3f}")
    assert accuracy(answers) >= 0.7
