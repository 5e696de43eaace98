"""The base model: the dtype that this host computes in, and the weights in memory."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, BitsAndBytesConfig

from trainer.errors import TrainerError
from trainer.training.attention import PACKED

DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}
# as Linux names them in /proc/cpuinfo
BFLOAT16_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}


def compute_dtype(wanted: str) -> str:
    """`wanted`, or this host's best dtype if that is "auto": on a GPU bfloat16 from compute
    capability 8.0 on, else float16; on a CPU bfloat16 if it has instructions for it, else float32,
    which is then many times faster.

    Raises:
        TrainerError: this host cannot compute in `wanted`.
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
    """True if this CPU has instructions for products in bfloat16 (AVX512-BF16, AMX, Arm's bf16).

    Without them PyTorch converts each number, and a product takes some 50 times as long as in
    float32 (2048 x 1024 by 1024 x 1024, one core of an AMD EPYC with AVX2, 2026-11-26).
    """
    try:
        found = re.search(r"^(?:flags|Features)\s*:(.*)$", cpuinfo.read_text(), re.MULTILINE)
    except OSError:
        return False
    return found is not None and not BFLOAT16_FLAGS.isdisjoint(found[1].split())


def own_attention(config: Any) -> str:
    """transformers' own attention for a model: its fused one leaves out Gemma 2's soft cap."""
    return "eager" if getattr(config, "attn_logit_softcapping", None) else "sdpa"


def load_base(
    base: Path,
    dtype: str,
    device: torch.device,
    *,
    quantize: str = "none",
    attention: str | None = None,
) -> Any:
    """The causal model in the folder `base`, on `device`; its attention is the one for packed rows,
    unless `attention` names another.

    Raises:
        TrainerError: the folder holds no complete model, or one that also reads images; or this
            host cannot quantize.
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
            attn_implementation=attention or PACKED,
            **options,
        )
    except Exception as error:
        raise TrainerError(
            f"cannot load the base model from {base}: {error}. Is a file missing or incomplete? "
            "Compare the folder with the model's page, and download again the files that differ."
        ) from error
    return model if quantize == "nf4" else model.to(device)


def _can_quantize(device: torch.device) -> None:
    if device.type != "cuda":
        raise TrainerError(
            'lora.quantize = "nf4" needs an NVIDIA GPU, and none is visible here: remove this '
            "line to train in 16 bits"
        )
    try:
        import bitsandbytes  # noqa: F401
    except ImportError as error:
        raise TrainerError(
            f'lora.quantize = "nf4" needs the package bitsandbytes: {error}'
        ) from error
