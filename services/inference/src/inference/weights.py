"""Reads a published model's sizes from its files, without loading it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from inference.errors import RefusedError

# as safetensors names them; a dtype that is not here has one byte a number
NUMBER_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}


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
        """Keys and values of all layers, two bytes per number. Layers with a sliding window keep
        fewer, so for a model that has some this is an upper bound.
        """
        return 2 * self.layers * self.kv_heads * self.head_width * 2

    def held_bytes(self, quantization: str | None) -> int:
        """Memory for the weights, in bytes. With 4 bits, each block of 64 also has a scale of 2
        bytes.
        """
        factor = {None: 1.0, "fp8": 1 / 2, "int4": 1 / 4 + 1 / 64}[quantization]
        return round(self.embedding_bytes + (self.size_bytes - self.embedding_bytes) * factor)


def read_weights(model: Path) -> Weights:
    """Sizes from config.json, and those of the embeddings from the weights' files: whether the head
    shares them is not always written in config.json.

    Raises:
        RefusedError: config.json lacks a size.
    """
    config = json.loads((model / "config.json").read_bytes())
    config = config.get("text_config") or config  # a model that also reads images
    try:
        table = [config["vocab_size"], config["hidden_size"]]
        heads = config["num_attention_heads"]
        layers, positions = config["num_hidden_layers"], config["max_position_embeddings"]
    except KeyError as error:
        raise RefusedError(
            f"the model's config.json names no {error.args[0]}, so its memory cannot be planned: "
            "use a model with attention in every layer (Qwen, Llama, Mistral, Gemma, Phi, GLM)"
        ) from error
    files = sorted(model.glob("*.safetensors"))
    return Weights(
        size_bytes=sum(path.stat().st_size for path in files),
        embedding_bytes=sum(
            prod(table) * NUMBER_BYTES.get(dtype, 1)
            for path in files
            for dtype, shape in _tensors(path)
            if shape == table
        ),
        layers=layers,
        heads=heads,
        kv_heads=config.get("num_key_value_heads") or heads,
        head_width=config.get("head_dim") or config["hidden_size"] // heads,
        position_limit=positions,
    )


def _tensors(path: Path) -> Iterator[tuple[str, list[int]]]:
    """Dtype and shape of each tensor, from the file's header: its length in eight bytes, then
    JSON.
    """
    with path.open("rb") as file:
        header: dict[str, Any] = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    for name, tensor in header.items():
        if name != "__metadata__":
            yield tensor["dtype"], tensor["shape"]
