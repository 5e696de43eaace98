"""The recipe's method: a base model in, a model with its trainable parameters out, and the
optimizer that fits them.

A frozen base is held in the dtype that is computed in and served later. What is trained is held in
fp32 under autocast, so that small updates are not lost (pure bf16 AdamW stalls).
"""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.tuners.tuners_utils import BaseTunerLayer
from transformers import AutoModelForCausalLM, BitsAndBytesConfig

from trainer.errors import TrainerError
from trainer.recipe import Lora, Recipe
from trainer.training.attention import implementation
from trainer.training.lora_pro import LoraPro

log = logging.getLogger("trainer")

DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}
INITIAL_ADAPTER = "initial-adapter"
# as Linux names them
BFLOAT16_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}


def compute_dtype(wanted: str) -> str:
    """bfloat16 from compute capability 8.0 on, else float16; on a CPU bfloat16 where it multiplies
    such numbers itself, else float32, which is then many times faster; unless one is wanted.

    Raises:
        TrainerError: the wanted one is not to be had on this host.
    """
    if torch.cuda.is_available() and torch.cuda.get_device_capability() < (8, 0):
        if wanted == "bfloat16":
            raise TrainerError(
                "bfloat16 needs a GPU of compute capability 8.0 or more (A10, 4090, A100); "
                'set training.dtype = "auto" or "float16"'
            )
        return "float16" if wanted == "auto" else wanted
    if torch.cuda.is_available():
        return "bfloat16" if wanted == "auto" else wanted
    if wanted == "float16":
        raise TrainerError('float16 is for GPUs; set training.dtype = "auto" or "float32"')
    if wanted == "auto":
        return "bfloat16" if multiplies_bfloat16() else "float32"
    return wanted


def multiplies_bfloat16(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether this CPU has instructions for products in bfloat16 (AVX512-BF16, AMX, Arm's bf16).

    Without them PyTorch converts each number, and a product takes some 50 times as long as in
    float32 (2048 x 1024 by 1024 x 1024, one core of an AMD EPYC with AVX2, 2026-11-26).
    """
    try:
        found = re.search(r"^(?:flags|Features)\s*:(.*)$", cpuinfo.read_text(), re.MULTILINE)
    except OSError:
        return False
    return found is not None and not BFLOAT16_FLAGS.isdisjoint(found[1].split())


def load_base(
    base: Path,
    dtype: str,
    device: torch.device,
    *,
    quantize: str = "none",
    attention: str | None = None,
) -> Any:
    """The causal model in `base` on `device`; `attention` is packed rows' unless given.

    Raises:
        TrainerError: the folder holds no whole model, or `quantize` needs what this host lacks.
    """
    options: dict[str, Any] = {}
    if quantize == "nf4":
        _can_quantize(device)
        options["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=DTYPES[dtype],
        )
        options["device_map"] = {"": device}
    try:
        model = AutoModelForCausalLM.from_pretrained(
            base,
            dtype=DTYPES[dtype],
            attn_implementation=attention or implementation(device),
            **options,
        )
    except Exception as error:
        raise TrainerError(
            f"cannot load the base model from {base}: {error}. Is a file missing or cut short? "
            "Compare the folder with the model's page, and fetch what differs again."
        ) from error
    return model if quantize == "nf4" else model.to(device)


def _can_quantize(device: torch.device) -> None:
    if device.type != "cuda":
        raise TrainerError(
            'lora.quantize = "nf4" needs an NVIDIA GPU, and none is visible here; take the '
            "line out to train in 16 bits"
        )
    try:
        import bitsandbytes  # noqa: F401
    except ImportError as error:
        raise TrainerError(
            f'lora.quantize = "nf4" needs the package bitsandbytes: {error}'
        ) from error


def prepare_model(recipe: Recipe, base: Path, dtype: str, device: torch.device) -> Any:
    """The model to be trained, on `device`, in training mode: a PeftModel, or the base itself with
    every weight in fp32 where the method is full fine-tuning.
    """
    torch.manual_seed(recipe.training.seed)  # the adapter's own start
    if recipe.method == "full":
        model = load_base(base, "float32", device)
    else:
        loaded = load_base(base, dtype, device, quantize=recipe.lora.quantize)
        model = get_peft_model(loaded, _lora_config(recipe.lora, loaded))
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.data = parameter.data.float()
        cast_activations(model, casts=dtype == "float32")
    model.config.use_cache = False
    if device.type == "cuda":
        _use_liger(model)
    if recipe.training.gradient_checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    return model.train()


def cast_activations(model: Any, *, casts: bool) -> None:
    """Whether adapters copy every activation to their own fp32. Under autocast they need not."""
    for module in model.modules():
        if isinstance(module, BaseTunerLayer):
            module.cast_input_dtype_enabled = casts


def _lora_config(lora: Lora, model: Any) -> LoraConfig:
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
            f"lora.targets names {', '.join(missing)}, which this base has not; its linear layers "
            f"are {', '.join(linear)}"
        )
    return LoraConfig(
        r=lora.r,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=list(lora.targets),
        use_rslora=lora.rslora,
        use_dora=lora.dora,
        init_lora_weights="pissa" if lora.init == "pissa" else True,
        task_type="CAUSAL_LM",
    )


def _use_liger(model: Any) -> None:
    """Liger's fused RMSNorm, RoPE and SwiGLU where the host has them."""
    try:
        from liger_kernel.transformers import _apply_liger_kernel_to_instance
    except ImportError:
        return
    causal = model.get_base_model() if isinstance(model, PeftModel) else model
    _apply_liger_kernel_to_instance(
        model=causal, cross_entropy=False, fused_linear_cross_entropy=False
    )
    log.info("with Liger's fused kernels")


def make_optimizer(model: Any, recipe: Recipe) -> torch.optim.Optimizer:
    """AdamW over what is trained, in the groups that the method asks for."""
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
    """Keep the adapter's start. PiSSA moves part of the base into it, and `save_adapter` needs it
    to give an adapter that fits the base as it was.
    """
    config = model.peft_config["default"]
    config.init_lora_weights = True
    model.save_pretrained(str(run_dir / INITIAL_ADAPTER))
    config.init_lora_weights = "pissa"


def save_adapter(model: Any, recipe: Recipe, run_dir: Path) -> Path:
    """The adapter in PEFT's form, fit for the base as it was. Returns its folder."""
    folder = run_dir / "adapter"
    options: dict[str, Any] = {}
    if recipe.lora.init == "pissa":
        options["path_initial_model_for_weight_conversion"] = str(run_dir / INITIAL_ADAPTER)
    model.save_pretrained(str(folder), **options)
    return folder
