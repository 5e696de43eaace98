"""Every method is one line of a recipe; its model trains and is published as it was trained."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from contract import Contract
from tiny_models import FAMILIES, make_model
from trainer.errors import TrainerError
from trainer.pipeline import run
from trainer.progress import Progress
from trainer.publishing.likelihoods import read
from trainer.publishing.verdict import compare
from trainer.recipe import Recipe
from trainer.settings import Settings
from trainer.training import base_model
from trainer.training.base_model import compute_dtype
from trainer.training.lora_pro import LoraPro
from trainer.training.methods import make_optimizer, prepare_model
from trainer.training.metrics import read_metrics

LONG = pytest.mark.long
METHODS = {
    "lora": "",
    "rslora": "[lora]\nrslora = true",
    "dora": "[lora]\ndora = true",
    "lora+": "[lora]\nplus_ratio = 4",
    "pissa": '[lora]\ninit = "pissa"',
    "lora-pro": "[lora]\npro = true",
    "full": 'method = "full"',
}


@pytest.mark.parametrize(
    "method",
    [name if name in ("lora", "full") else pytest.param(name, marks=LONG) for name in METHODS],
)
def test_a_method_trains_and_its_model_is_published(
    method: str, tiny_recipe: Callable[..., Recipe], settings: Settings, tiny_base: Path
) -> None:
    recipe = tiny_recipe(top=METHODS[method], training="schedule = 'constant'")
    published = run(recipe, settings)
    metrics = read_metrics(published / "metrics.jsonl")
    assert metrics[-1]["validation_loss"] < metrics[0]["validation_loss"]
    report = json.loads((published / "verification.json").read_text())
    assert report["faults"] == []
    assert report["comparison"]["rows"] == 32
    if method != "dora":  # its merging rounds; all others are trained in the weights that are saved
        assert (report["comparison"]["largest"], report["losses"]["cost"]) == (0, 0)
    adapter_sha256 = Contract.load(published).provenance.adapter_sha256
    if adapter_sha256 is not None:
        config = json.loads((published / "adapter" / "adapter_config.json").read_bytes())
        assert config["target_modules"] == sorted(config["target_modules"])
    if method == "full":
        assert adapter_sha256 is None
        assert not (published / "adapter").exists()
        return
    # the adapter beside the weights fits the unchanged base
    row = report_row(published)
    base = AutoModelForCausalLM.from_pretrained(tiny_base, dtype=torch.bfloat16)
    tuned = PeftModel.from_pretrained(base, str(published / "adapter")).eval()
    merged = AutoModelForCausalLM.from_pretrained(published, dtype=torch.bfloat16)
    with Progress("reading") as progress:
        one, two = (read(model, [row], 1.0, progress) for model in (tuned, merged))
    assert compare(one, two, ["probe"]).nats < 0.02


def report_row(published: Path) -> Any:
    from trainer.data.rendering import Row

    return Row(list(Contract.load(published).probe.token_ids), [5, 6, 7, 8])


@pytest.mark.parametrize("family", FAMILIES)
def test_every_model_family_trains_without_built_in_names(
    family: str,
    root: Path,
    tmp_path: Path,
    tiny_recipe: Callable[..., Recipe],
    settings: Settings,
) -> None:
    base = make_model(root, tmp_path / family, family, tie_word_embeddings=family == "qwen3")
    published = run(tiny_recipe(base=base), settings)
    config = json.loads((published / "config.json").read_text())
    rope = config.get("rope_parameters", config)["rope_theta"]
    assert rope == 50_000
    assert config["model_type"] == family
    assert config["tie_word_embeddings"] == (family == "qwen3")
    report = json.loads((published / "verification.json").read_text())
    assert report["faults"] == []
    assert "rope_theta" in report["read_back"]


def prepared(recipe: Recipe) -> Any:
    return prepare_model(recipe, Path(recipe.base), "bfloat16", torch.device("cpu"))


def test_the_base_has_the_served_dtype_and_the_adapter_float32(
    tiny_recipe: Callable[..., Recipe],
) -> None:
    model = prepared(tiny_recipe())
    trained = {p.dtype for p in model.parameters() if p.requires_grad}
    frozen = {p.dtype for p in model.parameters() if not p.requires_grad}
    assert (trained, frozen) == ({torch.float32}, {torch.bfloat16})
    full = prepared(tiny_recipe(top='method = "full"'))
    assert {p.dtype for p in full.parameters()} == {torch.float32}
    assert all(p.requires_grad for p in full.parameters())


def test_lora_plus_gives_b_a_learning_rate_of_its_own(tiny_recipe: Callable[..., Recipe]) -> None:
    recipe = tiny_recipe(top="[lora]\nplus_ratio = 16")
    slow, fast = make_optimizer(prepared(recipe), recipe).param_groups
    assert fast["lr"] == pytest.approx(16 * slow["lr"])
    assert len(slow["params"]) == len(fast["params"]) == 14


def test_lora_pro_pairs_every_a_with_its_b(tiny_recipe: Callable[..., Recipe]) -> None:
    recipe = tiny_recipe(top="[lora]\npro = true\nr = 4")
    optimizer = make_optimizer(prepared(recipe), recipe)
    assert isinstance(optimizer, LoraPro)
    assert len(optimizer._factors) == 14
    assert all(a.shape[0] == b.shape[1] == 4 for a, b in optimizer._factors)


@pytest.mark.skipif(torch.cuda.is_available(), reason="says what is missing without a GPU")
def test_a_method_that_needs_a_gpu_says_so_before_loading(
    tiny_recipe: Callable[..., Recipe],
) -> None:
    with pytest.raises(TrainerError, match='quantize = "nf4" needs an NVIDIA GPU, and none is'):
        prepared(tiny_recipe(top='[lora]\nquantize = "nf4"'))
    with pytest.raises(TrainerError, match="float16 is for GPUs"):
        compute_dtype("float16")


def test_the_compute_dtype_follows_the_cards_capability(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stub stands for the card, because only its capability matters."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda *_: (7, 0))
    assert compute_dtype("auto") == "float16"
    with pytest.raises(TrainerError, match=r"bfloat16 needs a GPU of compute capability 8\.0"):
        compute_dtype("bfloat16")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda *_: (8, 0))
    assert compute_dtype("auto") == "bfloat16"


@pytest.mark.parametrize(
    ("line", "chosen"),
    [
        ("flags\t\t: fpu avx2 avx512f avx512_bf16", "bfloat16"),
        ("flags\t\t: fpu avx2 amx_bf16", "bfloat16"),
        ("Features\t: fp asimd bf16", "bfloat16"),
        ("flags\t\t: fpu avx2", "float32"),
        ("flags\t\t: fpu avx2 avx512f", "float32"),
        ("", "float32"),
    ],
)
def test_a_cpu_without_bfloat16_computes_in_float32(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, line: str, chosen: str
) -> None:
    (tmp_path / "cpuinfo").write_text(f"processor\t: 0\n{line}\nbugs\t: none\n")
    has = base_model.multiplies_bfloat16(tmp_path / "cpuinfo")
    assert not base_model.multiplies_bfloat16(tmp_path / "none")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(base_model, "multiplies_bfloat16", lambda: has)
    assert compute_dtype("auto") == chosen
    assert compute_dtype("bfloat16") == "bfloat16"


def test_an_unknown_lora_target_is_named_with_the_known_ones(
    tiny_recipe: Callable[..., Recipe],
) -> None:
    with pytest.raises(TrainerError, match=r"has no Wqkv, which .* down_proj, gate_proj, k_proj"):
        prepared(tiny_recipe(top='[lora]\ntargets = ["q_proj", "Wqkv"]'))


@pytest.mark.long
def test_gradient_checkpointing_changes_nothing_but_memory(
    tiny_recipe: Callable[..., Recipe], settings: Settings, tmp_path: Path
) -> None:
    losses = []
    for number, value in enumerate(("true", "false")):
        recipe = tiny_recipe(training="seed = 7")
        training = recipe.training.model_copy(update={"gradient_checkpointing": value == "true"})
        own = settings.model_copy(
            update={"models_dir": tmp_path / f"m{number}", "runs_dir": tmp_path / f"r{number}"}
        )
        published = run(recipe.model_copy(update={"training": training}), own)
        steps = read_metrics(published / "metrics.jsonl")[1:]
        losses.append([entry["loss"] for entry in steps])
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)
