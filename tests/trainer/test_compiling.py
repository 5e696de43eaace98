"""Compiled layers train what plain layers train.

Graphs are made here and run as they are. TorchInductor, which makes kernels of them, would need a
C++ compiler and minutes on a CPU.
"""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch._dynamo.utils import counters

from trainer.data.rendering import Choice, Row
from trainer.recipe import Recipe
from trainer.run import Run
from trainer.training import compiling
from trainer.training.compiling import compile_layers, leave_uncompiled
from trainer.training.distributed import World, trained_weights
from trainer.training.loop import TrainingData, train
from trainer.training.merged_lora import MergedLinear, merged_once
from trainer.training.methods import prepare_model
from trainer.training.reply_loss import ReplyLoss, make_pack, precision

CPU = torch.device("cpu")
PACKS = [(9, 14), (30,), (12, 12, 12, 5), (64, 3), (17, 21)]


@pytest.fixture(autouse=True)
def _no_graphs_stay() -> Iterator[None]:
    yield
    torch._dynamo.reset()


def compile_with(monkeypatch: pytest.MonkeyPatch, compiler: Any) -> None:
    """Compile for this CPU, with `compiler` instead of TorchInductor."""
    monkeypatch.setattr(compiling, "COMPILER", compiler)
    monkeypatch.setattr(compiling, "why_not_compiled", lambda device: None)


def rows_of(lengths: tuple[int, ...]) -> list[Row]:
    made = torch.Generator().manual_seed(sum(lengths))
    ids = [torch.randint(400, (length,), generator=made).tolist() for length in lengths]
    return [Row(one[:2], one[2:]) for one in ids]


def module_of(recipe: Recipe, dtype: str) -> ReplyLoss:
    """A model whose adapter has an effect."""
    model = prepare_model(recipe, Path(recipe.base), dtype, CPU)
    for layer in model.modules():
        if isinstance(layer, MergedLinear):
            torch.nn.init.normal_(layer.lora_B["default"].weight, std=0.02)
    return ReplyLoss(model, precision(dtype, CPU))


def losses_and_gradients(
    module: ReplyLoss, recipe: Recipe
) -> tuple[torch.Tensor, list[torch.Tensor]]:
    losses = []
    with merged_once(module, recipe.training):
        for lengths in PACKS:
            loss = module(make_pack(rows_of(lengths), 1.0, CPU))
            loss.backward()
            losses.append(loss.detach())
    gradients = [p.grad for p in module.parameters() if p.grad is not None]
    module.zero_grad()
    return torch.stack(losses), gradients


def test_compiled_layers_have_the_same_loss_and_gradients(
    recipe_file: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """For packs of any lengths, with the graphs that the trial made; activations are recomputed."""
    path = recipe_file()
    kept = "gradient_checkpointing = false"
    path.write_text(path.read_text().replace(kept, "gradient_checkpointing = true"))
    recipe = Recipe.load(path)
    module = module_of(recipe, "bfloat16")
    plain, gradients = losses_and_gradients(module, recipe)
    names = set(trained_weights(module))
    compile_with(monkeypatch, "aot_eager")
    before = counters["stats"]["unique_graphs"]
    assert compile_layers(module, recipe.training, CPU)
    made = counters["stats"]["unique_graphs"]
    compiled, found = losses_and_gradients(module, recipe)
    assert counters["stats"]["unique_graphs"] == made > before
    assert torch.allclose(compiled, plain, rtol=1e-5)
    assert len(found) == len(gradients) == 28
    for grad, meant in zip(found, gradients, strict=True):
        assert (grad - meant).norm() <= 1e-5 * meant.norm()
    assert set(trained_weights(module)) == names
    leave_uncompiled(module)
    again, _ = losses_and_gradients(module, recipe)
    assert torch.equal(again, plain)


def trained(recipe: Recipe, folder: Path) -> dict[str, Any]:
    """The weights after a run of `recipe` with validation, from what `folder` holds."""
    folder.mkdir(exist_ok=True)
    run = Run(recipe, Path(recipe.base), "", "", "", "bfloat16", folder)
    rows = [row for lengths in PACKS for row in rows_of(lengths)]
    data = TrainingData(rows, [1.0] * len(rows), rows[:3], [Choice([5, 6, 7], [8, 9], 0)])
    model = prepare_model(recipe, Path(recipe.base), "bfloat16", CPU)
    module = train(model, data, run, World(0, 1, CPU))
    assert all(layer._compiled_call_impl is None for layer in module.causal.base_model.layers)
    return trained_weights(module)


@pytest.mark.long
def test_a_compiled_run_resumes_to_the_same_weights(
    tiny_recipe: Callable[..., Recipe], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Which are those of a run that was not compiled, with graphs that run as they are."""
    recipe = tiny_recipe(training="compile = true\ncheckpoint_every_s = 0")
    plain = trained(recipe, tmp_path / "plain")  # because this is a CPU
    compile_with(monkeypatch, "eager")
    alone = trained(recipe, tmp_path / "run")
    shutil.rmtree(max(tmp_path.glob("run/checkpoints/step-*")))
    resumed = trained(recipe, tmp_path / "run")
    for name, weight in alone.items():
        assert torch.equal(weight, resumed[name])
        assert torch.allclose(weight, plain[name], atol=1e-5)


def test_a_compiler_that_fails_leaves_the_layers_plain(
    tiny_recipe: Callable[..., Recipe],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def compiler(graph: Any, inputs: Any) -> Any:
        raise RuntimeError("Failed to find a\nC compiler")

    recipe = tiny_recipe()
    module = module_of(recipe, "float32")
    plain, _ = losses_and_gradients(module, recipe)
    compile_with(monkeypatch, compiler)
    assert not compile_layers(module, recipe.training, CPU)
    assert "without compiling its layers: BackendCompilerFailed" in caplog.text
    assert "Failed to find a C compiler" in caplog.text
    again, _ = losses_and_gradients(module, recipe)
    assert torch.equal(again, plain)


def test_layers_are_not_compiled_for_a_cpu(
    tiny_recipe: Callable[..., Recipe], caplog: pytest.LogCaptureFixture
) -> None:
    recipe = tiny_recipe()
    assert not compile_layers(module_of(recipe, "float32"), recipe.training, CPU)
    assert "needs a GPU of compute capability 8.0" in caplog.text
