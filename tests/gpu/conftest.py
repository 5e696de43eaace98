"""One GPU stack for all tests of this folder: models trained once, and servers in front of them.

Every start of a server costs up to a minute, so tests share them. Without a GPU all are skipped.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from bench.gpu_stack import MODEL, GpuStack, Trainer, cards, problem_file

from gpu_jobs import NF4, OTHER, Jobs, Served

# Several servers stand beside one another on one card, and a trainer.
SHARE = "0.3"
CARDS = cards()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here not in item.path.parents:
            continue
        item.add_marker(pytest.mark.gpu)
        if not CARDS:
            item.add_marker(pytest.mark.skip("no GPU"))
        elif item.path.name == "test_two_cards.py" and len(CARDS) < 2:
            item.add_marker(pytest.mark.skip("needs two GPUs"))


@pytest.fixture(scope="session")
def gpu_stack(tmp_path_factory: pytest.TempPathFactory) -> GpuStack:
    folder = tmp_path_factory.mktemp("gpu")
    # one card: what several do is for test_two_cards.py
    one_card = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]
    settings = {"CUDA_VISIBLE_DEVICES": one_card, "GPU_MEMORY_UTILIZATION": SHARE}
    return GpuStack(folder, os.environ.get("STACK", "cu12"), settings)


@pytest.fixture(scope="session")
def trainers(gpu_stack: GpuStack) -> Callable[[], dict[str, Trainer]]:
    """Starts the trainers of three models, once, and returns them."""
    started: dict[str, Trainer] = {}

    def start() -> dict[str, Trainer]:
        if not started:
            for name, recipe in (
                (MODEL, gpu_stack.recipe(MODEL)),
                (OTHER, gpu_stack.recipe(OTHER, training="seed = 43")),
                (NF4, gpu_stack.recipe(NF4, lora='quantize = "nf4"')),
            ):
                started[name] = gpu_stack.start_trainer(recipe, f"train-{name}")
        return started

    return start


@pytest.fixture(scope="session")
def served(gpu_stack: GpuStack, trainers: Callable[[], dict[str, Trainer]]) -> Iterator[Served]:
    # no drain: a stop breaks off the requests that run
    with gpu_stack.launcher("served", DRAIN_S="0") as launcher:
        told: list[str] = []

        def healthy() -> bool:
            status, message = launcher.health()
            if status == 503 and message not in told:
                told.append(message)
            return status == 200

        def ended() -> bool:
            healthy()
            return all(trainer.process.poll() is not None for trainer in started.values())

        launcher.until(lambda: not healthy() and bool(told))
        started = trainers()
        launcher.until(ended)
        started[MODEL].finish()
        found = Served(gpu_stack, launcher, told)
        launcher.until(healthy)
        launcher.until_served(found.first.name)
        yield found


@pytest.fixture(scope="session")
def trained(
    trainers: Callable[[], dict[str, Trainer]], gpu_stack: GpuStack
) -> Callable[[str], Path]:
    """The published model of that name. Fails if its training failed."""

    def model(name: str) -> Path:
        trainers()[name].finish()
        return gpu_stack.published(name)

    return model


@pytest.fixture(scope="session")
def problems(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """About 1,800 questions, so that a job runs for several seconds."""
    return problem_file(tmp_path_factory.mktemp("problems") / "problems.jsonl", 6)


@pytest.fixture(scope="session")
def jobs(gpu_stack: GpuStack, tmp_path_factory: pytest.TempPathFactory) -> Jobs:
    return Jobs(gpu_stack, tmp_path_factory.mktemp("jobs"))
