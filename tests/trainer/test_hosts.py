"""A GPU stack never trains on a CPU silently. (These tests run on hosts without a GPU.)"""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from trainer.errors import TrainerError
from trainer.hosts import check_device
from trainer.pipeline import run
from trainer.recipe import Recipe
from trainer.settings import Settings

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="this host has a GPU")


def test_a_gpu_stack_without_a_gpu_is_refused_before_downloads(
    tiny_recipe: Callable[..., Recipe], settings: Settings
) -> None:
    recipe = tiny_recipe().model_copy(update={"base": "nobody/nothing"})
    with pytest.raises(TrainerError, match="STACK=cu12 needs an NVIDIA GPU") as raised:
        run(recipe, settings.model_copy(update={"stack": "cu12"}))
    assert "\n" not in str(raised.value)


def test_the_cpu_stack_trains_on_the_cpu(caplog: pytest.LogCaptureFixture) -> None:
    check_device("cpu")
    assert not caplog.messages


def test_without_a_stack_training_on_the_cpu_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    check_device(None)
    (said,) = caplog.messages
    assert "the CPU trains" in said


def test_the_stack_is_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STACK", "volta")
    assert Settings().stack == "volta"
    monkeypatch.setenv("STACK", "")
    assert Settings().stack is None


def test_the_image_of_the_trainer_names_its_stack(root: Path) -> None:
    text = (root / "services" / "stack.Dockerfile").read_text()
    stage = text.split("FROM base AS trainer\n")[1].split("\nFROM ")[0]
    assert "ENV STACK=${STACK}" in stage
