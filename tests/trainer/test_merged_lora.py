"""With LoRA, the weights that are served are the weights that were trained, to the bit."""

import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file
from torch.nn.functional import linear

from trainer.data.chat_templates import load_tokenizer
from trainer.data.preparing import prepare
from trainer.data.rendering import end_token
from trainer.errors import TrainerError
from trainer.pipeline import render_all
from trainer.publishing.merging import finished_model, save_merged
from trainer.recipe import Recipe
from trainer.run import Run
from trainer.training.base_model import load_base
from trainer.training.distributed import World
from trainer.training.loop import TrainingData, train
from trainer.training.merged_lora import MergedLinear, merged_once, to_bfloat16
from trainer.training.methods import lora_config, prepare_model, save_initial_adapter
from trainer.training.reply_loss import ReplyLoss, precision
from trainer.training.validation import validate

CPU = torch.device("cpu")
WORLD = World(0, 1, CPU)


def layer_of(dtype: torch.dtype) -> MergedLinear:
    """A layer of 24 inputs and 20 outputs whose update is large enough to be seen in bfloat16."""
    torch.manual_seed(0)
    config = LoraConfig(r=4, lora_alpha=8, target_modules=["0"])
    config._register_custom_module({torch.nn.Linear: MergedLinear})
    model = get_peft_model(torch.nn.Sequential(torch.nn.Linear(24, 20, dtype=dtype)), config)
    (layer,) = (module for module in model.modules() if isinstance(module, MergedLinear))
    for factor in (layer.lora_A["default"], layer.lora_B["default"]):
        factor.weight.data = torch.randn(factor.weight.shape) / 4
    return layer


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 2e-2), (torch.float16, 2e-3)]
)
def test_gradients_pass_straight_through_the_rounding(dtype: torch.dtype, tolerance: float) -> None:
    layer = layer_of(dtype)
    a, b = layer.lora_A["default"].weight, layer.lora_B["default"].weight
    x = torch.randn(2, 7, 24, dtype=dtype, requires_grad=True)
    towards = torch.randn(2, 7, 20, dtype=dtype)
    (layer(x) * towards).sum().backward()
    found = [x.grad, a.grad, b.grad]

    base = layer.get_base_layer()
    exact = base.weight.float() + 2 * b @ a
    rounded = exact + (layer.merged_weight().float() - exact).detach()
    y = linear(x.float(), rounded, base.bias.float())
    for grad, meant in zip(
        found, torch.autograd.grad((y * towards.float()).sum(), [x, a, b]), strict=True
    ):
        assert grad is not None
        assert (grad - meant).norm() <= tolerance * meant.norm()
    assert torch.equal(layer(x), linear(x, layer.merged_weight(), base.bias))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_the_merged_weight_is_the_exact_sum_rounded_once(dtype: torch.dtype) -> None:
    layer = layer_of(dtype)
    a, b = (f["default"].weight.double() for f in (layer.lora_A, layer.lora_B))
    exact = layer.get_base_layer().weight.double() + 2 * b @ a
    with torch.autocast("cpu", torch.bfloat16):
        merged = layer.merged_weight()
    assert merged.dtype == dtype
    step = exact.abs() * torch.finfo(dtype).eps + 1e-7
    assert ((merged.double() - exact).abs() <= step).all()
    layer.merge()
    assert torch.equal(layer.get_base_layer().weight, merged)


def test_updates_below_a_step_of_bfloat16_are_not_lost() -> None:
    """To the nearest, no weight would change."""
    torch.manual_seed(0)
    weights = torch.randn(400, 500).bfloat16().float()
    update = weights.abs() * torch.finfo(torch.bfloat16).eps / 16
    assert torch.equal((weights + update).bfloat16().float(), weights)
    thresholds = torch.randint(2**15, weights.shape, dtype=torch.int16)
    moved = to_bfloat16(weights + update, thresholds).float() - weights
    assert moved.mean() == pytest.approx(float(update.mean()), rel=0.05)
    moved = to_bfloat16(-weights - update, thresholds).float() + weights
    assert moved.mean() == pytest.approx(-float(update.mean()), rel=0.05)


def test_an_adapter_that_does_nothing_leaves_the_base_as_it_is() -> None:
    layer = layer_of(torch.bfloat16)
    layer.lora_B["default"].weight.data.zero_()
    assert torch.equal(layer.merged_weight(), layer.get_base_layer().weight)


class Trained:
    """A run of `recipe`, trained in this process from what `folder` holds."""

    def __init__(self, recipe: Recipe, folder: Path) -> None:
        self.prepared = prepare(recipe)
        self.recipe = self.prepared.recipe
        first = self.prepared.train[0]
        base = Path(recipe.base)
        self.tokenizer = load_tokenizer(
            base, self.recipe.format.messages(first.problem, first.question)
        )
        rows, self.held_out, choices = render_all(self.prepared, self.tokenizer)
        self.data = TrainingData(rows.rows, [1.0] * len(rows.rows), self.held_out.rows, choices)
        self.run = Run(self.recipe, base, "", "", "", "bfloat16", folder)
        folder.mkdir(exist_ok=True)
        model = prepare_model(self.recipe, base, "bfloat16", CPU)
        if recipe.lora.init == "pissa":
            save_initial_adapter(model, folder)
        self.module = train(model, self.data, self.run, WORLD)

    def validation_loss(self, module: ReplyLoss) -> float:
        data, settings = self.data, self.recipe.training
        scores = validate(module, data.held_out, data.choices, settings, WORLD)
        return scores["validation_loss"]

    def merged(self) -> dict[str, torch.Tensor]:
        return {
            name.removeprefix("model.base_model.model.") + ".weight": module.merged_weight()
            for name, module in self.module.named_modules()
            if isinstance(module, MergedLinear)
        }


@pytest.mark.parametrize("top", ["", '[lora]\ninit = "pissa"\nr = 4'], ids=["lora", "pissa"])
def test_the_saved_weights_are_those_that_were_trained(
    top: str, tiny_recipe: Callable[..., Recipe], tmp_path: Path
) -> None:
    trained = Trained(tiny_recipe(top=top), tmp_path / "run")
    before = trained.validation_loss(trained.module)
    with merged_once(trained.module, trained.recipe.training):
        used = {
            name.removeprefix("model.base_model.model.") + ".weight": module.kept.clone()
            for name, module in trained.module.named_modules()
            if isinstance(module, MergedLinear) and module.kept is not None
        }
    model = finished_model(trained.module, trained.run, WORLD)
    save_merged(model, trained.tokenizer, end_token(trained.tokenizer), tmp_path / "saved")
    saved = load_file(tmp_path / "saved" / "model.safetensors")
    assert len(used) == 14
    assert all(torch.equal(saved[name], weight) for name, weight in used.items())
    original = load_file(Path(trained.recipe.base) / "model.safetensors")
    assert not any(torch.equal(original[name], weight) for name, weight in used.items())
    loaded = ReplyLoss(load_base(tmp_path / "saved", "bfloat16", CPU), precision("bfloat16", CPU))
    assert trained.validation_loss(loaded) == before


def test_weights_that_are_kept_or_made_at_each_use_train_the_same(
    tiny_recipe: Callable[..., Recipe], tmp_path: Path
) -> None:
    recipe = tiny_recipe()
    kept = Trained(recipe, tmp_path / "kept").merged()
    training = recipe.training.model_copy(update={"gradient_checkpointing": True})
    again = recipe.model_copy(update={"training": training})
    made = Trained(again, tmp_path / "made").merged()
    assert all(torch.equal(weight, made[name]) for name, weight in kept.items())


def test_a_resumed_run_ends_with_the_same_merged_weights(
    tiny_recipe: Callable[..., Recipe], tmp_path: Path
) -> None:
    recipe = tiny_recipe(training="checkpoint_every_s = 0")
    alone = Trained(recipe, tmp_path / "run").merged()
    shutil.rmtree(tmp_path / "run" / "checkpoints" / "step-00000006")
    resumed = Trained(recipe, tmp_path / "run").merged()
    assert all(torch.equal(weight, resumed[name]) for name, weight in alone.items())


def test_no_merged_weight_is_kept_while_weights_change(
    tiny_recipe: Callable[..., Recipe],
) -> None:
    recipe = tiny_recipe()
    model = prepare_model(recipe, Path(recipe.base), "bfloat16", CPU)
    layers = [module for module in model.modules() if isinstance(module, MergedLinear)]
    with suppress(ZeroDivisionError), merged_once(model, recipe.training):
        assert all(layer.kept is not None for layer in layers)
        raise ZeroDivisionError
    assert all(layer.kept is None for layer in layers)
    checkpointed = recipe.training.model_copy(update={"gradient_checkpointing": True})
    with merged_once(model, checkpointed):
        assert all(layer.kept is None for layer in layers)


@pytest.mark.parametrize(
    ("top", "said"),
    [
        ("", "linear layers compute with the merged weights"),
        ("[lora]\ndropout = 0.1", "beside the base, because dropout acts on the adapter alone"),
        ("[lora]\ndora = true", "beside the base, because DoRA"),
    ],
)
def test_the_log_says_where_the_adapter_is_computed(
    top: str, said: str, tiny_recipe: Callable[..., Recipe], caplog: pytest.LogCaptureFixture
) -> None:
    recipe = tiny_recipe(top=top)
    with caplog.at_level("INFO", "trainer"):
        model: Any = prepare_model(recipe, Path(recipe.base), "bfloat16", CPU)
    assert said in caplog.text
    merged = [module for module in model.modules() if isinstance(module, MergedLinear)]
    assert len(merged) == (0 if top else 14)


def test_a_head_that_shares_the_embeddings_is_refused(tiny_recipe: Callable[..., Recipe]) -> None:
    recipe = tiny_recipe(top='[lora]\ntargets = ["q_proj", "lm_head"]')
    base = load_base(Path(recipe.base), "float32", CPU)
    lora_config(recipe.lora, base)
    base.config.tie_word_embeddings = True
    with pytest.raises(TrainerError, match="lm_head: this base's head and embeddings share"):
        lora_config(recipe.lora, base)
