"""Reads a published model's sizes from its files, without loading it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

CONFIG_BYTES_OF = {"float32": 4, "float16": 2, "bfloat16": 2}


@dataclass(frozen=True)
class Weights:
    """Sizes are in bytes.

    `embedding_bytes` is the part that keeps its precision under quantization: embeddings and head.
    `heads` and `kv_heads` are counts per layer. `position_limit` is the longest sequence that the
    position encoding allows, in tokens.
    """

    size_bytes: int
    embedding_bytes: int
    layers: int
    heads: int
    kv_heads: int
    head_width: int
    position_limit: int

    @property
    def kv_bytes_per_token(self) -> int:
        """Keys and values of all layers, two bytes per number."""
        return 2 * self.layers * self.kv_heads * self.head_width * 2

    def held_bytes(self, quantization: str | None) -> int:
        """Memory for the weights, in bytes. With 4 bits, each block of 64 also has a scale of 2
        bytes.
        """
        factor = {None: 1.0, "fp8": 1 / 2, "int4": 1 / 4 + 1 / 64}[quantization]
        return round(self.embedding_bytes + (self.size_bytes - self.embedding_bytes) * factor)


def read_weights(model: Path) -> Weights:
    config = json.loads((model / "config.json").read_bytes())
    number = CONFIG_BYTES_OF[config.get("dtype") or config.get("torch_dtype") or "bfloat16"]
    tables = 1 if config.get("tie_word_embeddings") else 2
    heads = config["num_attention_heads"]
    return Weights(
        size_bytes=sum(path.stat().st_size for path in model.glob("*.safetensors")),
        embedding_bytes=tables * config["vocab_size"] * config["hidden_size"] * number,
        layers=config["num_hidden_layers"],
        heads=heads,
        kv_heads=config.get("num_key_value_heads") or heads,
        head_width=config.get("head_dim") or config["hidden_size"] // heads,
        position_limit=config["max_position_embeddings"],
    )
