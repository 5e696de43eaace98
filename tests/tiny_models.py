"""Tiny causal models of several families: random weights, and the demo's or another tokenizer."""

from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

FAMILIES: dict[str, tuple[Any, Any]] = {
    "qwen2": (Qwen2Config, Qwen2ForCausalLM),
    "qwen3": (Qwen3Config, Qwen3ForCausalLM),
    "llama": (LlamaConfig, LlamaForCausalLM),
    "mistral": (MistralConfig, MistralForCausalLM),
}


def make_model(
    root: Path, folder: Path, family: str = "qwen2", tokenizer: Any = None, **changes: Any
) -> Path:
    """Save a model of two layers and width 64 into `folder`; its RoPE base is 50,000."""
    tokenizer = tokenizer or AutoTokenizer.from_pretrained(root / "examples" / "demo" / "base")
    config_class, model_class = FAMILIES[family]
    shape: dict[str, Any] = {
        "vocab_size": len(tokenizer),
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 4096,
        "tie_word_embeddings": False,
        **({"head_dim": 16} if family == "qwen3" else {}),
        **({"sliding_window": None} if family == "mistral" else {}),
        **changes,
    }
    config = config_class(**shape)
    if hasattr(config, "rope_parameters"):
        config.rope_parameters = {"rope_type": "default", "rope_theta": 50_000.0}
    else:
        config.rope_theta = 50_000.0
    torch.manual_seed(0)
    model_class(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
