"""What the stack does on two GPUs, with the demo's model."""

import json
import re
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from bench.gpu_stack import MODEL, GpuStack, Launcher

from gpu_jobs import Jobs, accuracy, share_equal
from orchestrator.jobs.records import Answer

EAGER = {"ENFORCE_EAGER": "true"}
BOTH = {"CUDA_VISIBLE_DEVICES": "0,1"}


def curve(published: Path, key: str) -> list[float]:
    lines = (published / "metrics.jsonl").read_text().splitlines()
    entries: list[dict[str, Any]] = [json.loads(line) for line in lines]
    return [entry[key] for entry in entries if key in entry]


@pytest.fixture(scope="module")
def one_card(gpu_stack: GpuStack) -> Path:
    """The model that one card trained."""
    gpu_stack.start_trainer(gpu_stack.recipe(MODEL), "train-one-card").finish()
    return gpu_stack.published()


@pytest.fixture(scope="module")
def answers_of_one(one_card: Path, gpu_stack: GpuStack, jobs: Jobs) -> list[Answer]:
    """The answers of one card; the other is hidden by CUDA_VISIBLE_DEVICES."""
    with gpu_stack.launcher("one-card", CUDA_VISIBLE_DEVICES="1", **EAGER) as launcher:
        launcher.until_served()
        assert "parallel-size" not in launcher.text()
        return jobs.answers(launcher)


def asked_by_engine(launcher: Launcher) -> list[float]:
    """How many requests each engine has answered."""
    address = launcher.url.replace("/v1", "/metrics")
    with urllib.request.urlopen(address) as reply:
        text = reply.read().decode()
    counts: dict[str, float] = {}
    for line in text.splitlines():
        found = re.match(r'vllm:request_success_total\{.*engine="(\d+)".*\} (\S+)', line)
        if found:
            counts[found[1]] = counts.get(found[1], 0) + float(found[2])
    return list(counts.values())


def test_each_card_gets_a_copy_of_a_small_model(
    one_card: Path, answers_of_one: list[Answer], gpu_stack: GpuStack, jobs: Jobs, problems: Path
) -> None:
    with gpu_stack.launcher("copies", **BOTH, **EAGER) as launcher:
        launcher.until_served()
        assert re.search(r"data-parallel-size +2 ", launcher.text())
        answers = jobs.answers(launcher)
        asked = asked_by_engine(launcher)
    print(f"\nrequests answered by each engine: {asked}")
    assert len(asked) == 2
    assert min(asked) > 0.2 * sum(asked)
    print(f"{share_equal(answers, answers_of_one):.4f} of the questions with one card's samples")
    assert abs(accuracy(answers) - accuracy(answers_of_one)) < 0.03


def test_two_cards_share_one_copy_if_told_to(
    one_card: Path, answers_of_one: list[Answer], gpu_stack: GpuStack, jobs: Jobs
) -> None:
    settings = {"TENSOR_PARALLEL_SIZE": "2", **BOTH, **EAGER}
    with gpu_stack.launcher("tensor", **settings) as launcher:
        launcher.until_served()
        assert re.search(r"tensor-parallel-size +2 ", launcher.text())
        answers = jobs.answers(launcher)
    print(f"\n{share_equal(answers, answers_of_one):.4f} of the questions with one card's samples")
    assert abs(accuracy(answers) - accuracy(answers_of_one)) < 0.05


@pytest.fixture(scope="module")
def two_cards(gpu_stack: GpuStack) -> GpuStack:
    """A stack beside the other one: the same recipe makes the same digest there."""
    return GpuStack(gpu_stack.folder / "two", gpu_stack.stack, {**gpu_stack.settings, **BOTH})


def test_two_cards_have_the_loss_curve_of_one(one_card: Path, two_cards: GpuStack) -> None:
    two_cards.start_trainer(two_cards.recipe(MODEL), "train", processes=2).finish()
    two = two_cards.published()
    assert two.name == one_card.name
    one_loss, two_loss = (curve(model, "validation_loss") for model in (one_card, two))
    speeds = [max(curve(model, "tokens_per_s")) for model in (one_card, two)]
    print(f"\nvalidation loss {one_loss} and {two_loss}; tokens/s at most {speeds}")
    assert len(one_loss) == len(two_loss)
    assert two_loss == pytest.approx(one_loss, rel=0.1, abs=0.02)


def test_all_weights_are_trained_spread_over_both_cards(two_cards: GpuStack) -> None:
    recipe = two_cards.recipe(
        "quorum-spread", steps=30, top='method = "full"', training="fsdp = true"
    )
    text = recipe.read_text().replace("learning_rate = 4e-3", "learning_rate = 4e-4")
    recipe.write_text(re.sub(r"\[lora\][^[]*", "", text))
    two_cards.start_trainer(recipe, "train-spread", processes=2).finish()
    losses = curve(two_cards.published("quorum-spread"), "validation_loss")
    print(f"\nvalidation loss {losses}")
    assert losses[-1] < 0.8 * losses[0]
