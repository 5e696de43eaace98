"""The method that a recipe names: it makes a base model into one with trainable parameters, and
makes the optimizer for them.

A frozen base is held in the dtype that it computes in and is served in. Trained weights are held in
fp32 under autocast: pure bf16 AdamW stalls, because it loses small updates.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.tuners.tuners_utils import BaseTunerLayer

from contract import write_json
from trainer.errors import TrainerError
from trainer.recipe import Lora, Recipe
from trainer.training.base_model import load_base
from trainer.training.lora_pro import LoraPro
from trainer.training.merged_lora import MergedLinear, why_not_merged

log = logging.getLogger("trainer")

INITIAL_ADAPTER = "initial-adapter"


def prepare_model(recipe: Recipe, base: Path, dtype: str, device: torch.device) -> Any:
    """The model to be trained, on `device`, in training mode: a PeftModel or, for full fine-tuning,
    the base itself with every weight in fp32.
    """
    torch.manual_seed(recipe.training.seed)  # for the adapter's initial weights
    if recipe.method == "full":
        model = load_base(base, "float32", device)
    else:
        loaded = load_base(base, dtype, device, quantize=recipe.lora.quantize)
        model = get_peft_model(loaded, lora_config(recipe.lora, loaded))
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.data = parameter.data.float()
        cast_activations(model, casts=dtype == "float32")
    model.config.use_cache = False
    if device.type == "cuda" and not recipe.training.compile:
        use_liger(model)
    if recipe.training.gradient_checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    return model.train()


def cast_activations(model: Any, *, casts: bool) -> None:
    """Set whether adapters copy every activation to fp32; under autocast they need not."""
    for module in model.modules():
        if isinstance(module, BaseTunerLayer):
            module.cast_input_dtype_enabled = casts


def lora_config(lora: Lora, model: Any) -> LoraConfig:
    """PEFT's configuration of a recipe's adapter for `model`.

    Raises:
        TrainerError: the base lacks a target, or an adapter cannot train it.
    """
    found = {name.rpartition(".")[2] for name, _ in model.named_modules()}
    missing = [name for name in lora.targets if name not in found]
    if missing:
        linear = sorted(
            {
                n.rpartition(".")[2]
                for n, m in model.named_modules()
                if isinstance(m, torch.nn.Linear)
            }
        )
        raise TrainerError(
            f"this base has no {', '.join(missing)}, which lora.targets names; its linear layers "
            f"are {', '.join(linear)}"
        )
    _refuse_tied(lora, model)
    config = LoraConfig(
        r=lora.r,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=list(lora.targets),
        use_rslora=lora.rslora,
        use_dora=lora.dora,
        init_lora_weights="pissa" if lora.init == "pissa" else True,
        task_type="CAUSAL_LM",
    )
    why = why_not_merged(lora)
    if why is None:
        log.info("linear layers compute with the merged weights, rounded as they will be served")
        config._register_custom_module({torch.nn.Linear: MergedLinear})
    else:
        log.info("the adapter is computed beside the base, because %s: merging will round", why)
    return config


def _refuse_tied(lora: Lora, model: Any) -> None:
    """Merging into a weight that head and embeddings share would change both; training changes one.

    Raises:
        TrainerError: such a weight is among the targets.
    """
    if not getattr(model.config, "tie_word_embeddings", False):
        return
    ends = (model.get_input_embeddings(), model.get_output_embeddings())
    named = {
        name.rpartition(".")[2] for name, m in model.named_modules() if any(m is e for e in ends)
    }
    if shared := sorted(named & set(lora.targets)):
        raise TrainerError(
            f"{' and '.join(shared)}: this base's head and embeddings share their weights, so no "
            "adapter can train them; leave it out of lora.targets"
        )


def use_liger(model: Any) -> None:
    """Use Liger's fused RMSNorm, RoPE and SwiGLU if they are installed."""
    try:
        from liger_kernel.transformers import _apply_liger_kernel_to_instance
    except ImportError:
        return
    causal = model.get_base_model() if isinstance(model, PeftModel) else model
    _apply_liger_kernel_to_instance(
        model=causal, cross_entropy=False, fused_linear_cross_entropy=False
    )
    log.info("Liger's fused kernels are used")


def make_optimizer(model: Any, recipe: Recipe) -> torch.optim.Optimizer:
    """AdamW over the trained weights, in the groups that the method needs."""
    settings, lora = recipe.training, recipe.lora
    fused = next(model.parameters()).device.type == "cuda"
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    fast = [p for name, p in named if "lora_B" in name]
    slow = [p for name, p in named if "lora_B" not in name]
    groups = [
        {"params": slow, "lr": settings.learning_rate},
        {"params": fast, "lr": settings.learning_rate * lora.plus_ratio},
    ]
    groups = [group for group in groups if group["params"]]
    if recipe.method == "lora" and lora.pro:
        scale = lora.alpha / (lora.r**0.5 if lora.rslora else lora.r)
        by_name = dict(named)
        factors = [
            (a, by_name[name.replace("lora_A", "lora_B")]) for name, a in named if "lora_A" in name
        ]
        return LoraPro(groups, factors, scale, weight_decay=settings.weight_decay)
    return torch.optim.AdamW(groups, weight_decay=settings.weight_decay, fused=fused)


def save_initial_adapter(model: Any, run_dir: Path) -> None:
    """Save the adapter as it is before training. PiSSA moves part of the base into it, so
    `save_adapter` needs it to make an adapter for the unchanged base.
    """
    config = model.peft_config["default"]
    config.init_lora_weights = True
    model.save_pretrained(str(run_dir / INITIAL_ADAPTER))
    config.init_lora_weights = "pissa"


def save_adapter(model: Any, recipe: Recipe, run_dir: Path) -> Path:
    """Save the adapter in PEFT's form, for the unchanged base. Returns its folder."""
    folder = run_dir / "adapter"
    options: dict[str, Any] = {}
    if recipe.lora.init == "pissa":
        options["path_initial_model_for_weight_conversion"] = str(run_dir / INITIAL_ADAPTER)
    model.save_pretrained(str(folder), **options)
    _sort_targets(folder / "adapter_config.json")
    return folder


def _sort_targets(path: Path) -> None:
    """PEFT writes a set, in another order each time; the adapter's digest must not depend on it."""
    config = json.loads(path.read_bytes())
    if isinstance(config["target_modules"], list):
        config["target_modules"].sort()
    path.write_text(write_json(config, indent=2) + "\n", encoding="utf-8")
