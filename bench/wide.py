"""Writes a model of Qwen2-7B's shape, and so of its cost, that gives a small Qwen2's replies.

    .venv-cu12-trainer/bin/python -m bench.wide MODELS/quorum-demo/current MODELS/quorum-7b/wide

The small model lies in the first dimensions of the wide residual stream. All other dimensions stay
zero, because whatever writes into them has zero weights: the further heads, layers and intermediate
units compute with random weights, and nothing comes of it. What depends on a width is folded in:

- A norm divides by the root of the mean square over the width, so its weights are scaled.
- Heads are wider, so queries are scaled, and the rotary pairs lie `step` apart at another base: the
  pair i of d turns by base^(-2i/d), the pair step * i of D by wide_base^(-2 * step * i / D).
- Tokens that the small vocabulary lacks must never be drawn. One more dimension holds a constant,
  too small for the norms to notice, and their rows of the head turn it into a large negative logit.

`noise` fills the zero weights with random ones of this size. The replies then differ a little, and
every number takes part in every sum, so that another order of adding changes the result: for
measuring if the replies depend on the batch. Without it, activations are mostly zeros, and a card
may draw less power than with a trained model of this shape.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from contract.published import make_current


class Shape(NamedTuple):
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_width: int
    intermediate: int
    vocabulary: int


QWEN2_7B = Shape(3584, 28, 28, 4, 128, 18944, 152064)
CONSTANT = 2.0**-10
# Over the root mean square of the small model's stream: minus the logit of a token that it lacks.
FAR = 2.0**19
RANDOM = 0.02  # Qwen2's initializer_range
# of the rows that are served, so that the launcher plans its KV cache for them
LENGTHS = {"longest_prompt": 600, "longest_reply": 300, "limit": 1024}


class Widener:
    """Computes the tensors of the wide model from those of the small one, a layer at a time."""

    def __init__(self, source: Path, shape: Shape, noise: float) -> None:
        self.config: dict[str, Any] = json.loads((source / "config.json").read_bytes())
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.small = {
            name: tensor.float().to(self.device)
            for file in sorted(source.glob("*.safetensors"))
            for name, tensor in load_file(file).items()
        }
        self.shape, self.noise = shape, noise
        self.hidden = self.config["hidden_size"]
        self.heads, self.kv_heads = (
            self.config[f"num_{kind}_heads"] for kind in ("attention", "key_value")
        )
        self.width = self.config.get("head_dim") or self.hidden // self.heads
        self.norm = math.sqrt(self.hidden / shape.hidden)
        self.step = shape.head_width // 2 * 2 // self.width
        layers = self.config["num_hidden_layers"]
        # spread over the depth
        self.small_layers = {i * shape.layers // layers: i for i in range(layers)}
        torch.manual_seed(0)

    def random(self, *size: int, scale: float = RANDOM) -> Tensor:
        return torch.randn(*size, device=self.device) * scale

    def quiet(self, *size: int) -> Tensor:
        """Weights that write into the stream: zeros, or noise. The constant stays as it is."""
        weights = self.random(*size, scale=self.noise)
        weights[self.hidden] = 0
        return weights

    def norm_weight(self, name: str) -> Tensor:
        weights = torch.ones(self.shape.hidden, device=self.device)
        weights[: self.hidden] = self.small[name] * self.norm
        weights[self.hidden] = 0
        return weights

    def ends(self) -> dict[str, Tensor]:
        """Embeddings, head and last norm."""
        hidden, (vocabulary, width) = self.hidden, self.small["model.embed_tokens.weight"].shape
        table = torch.zeros(self.shape.vocabulary, self.shape.hidden, device=self.device)
        table[:vocabulary, :width] = self.small["model.embed_tokens.weight"]
        table[:, hidden] = CONSTANT
        head = self.random(self.shape.vocabulary, self.shape.hidden)
        head[:vocabulary] = self.random(vocabulary, self.shape.hidden, scale=self.noise)
        head[:, : hidden + 1] = 0
        head[:vocabulary, :hidden] = self.small.get("lm_head.weight", table[:vocabulary, :width])
        head[vocabulary:, hidden] = -1
        final = self.norm_weight("model.norm.weight")
        final[hidden] = FAR * self.norm / CONSTANT
        return {
            "model.embed_tokens.weight": table,
            "lm_head.weight": head,
            "model.norm.weight": final,
        }

    def layer(self, index: int) -> dict[str, Tensor]:
        shape, to = self.shape, f"model.layers.{index}."
        wide = {"q": shape.heads, "k": shape.kv_heads, "v": shape.kv_heads}
        found = {
            f"{to}self_attn.o_proj.weight": self.quiet(
                shape.hidden, shape.heads * shape.head_width
            ),
            f"{to}mlp.down_proj.weight": self.quiet(shape.hidden, shape.intermediate),
        }
        for name, heads in wide.items():
            rows = heads * shape.head_width
            found[f"{to}self_attn.{name}_proj.weight"] = self.random(rows, shape.hidden)
            found[f"{to}self_attn.{name}_proj.bias"] = self.random(rows)
        for name in ("gate", "up"):
            found[f"{to}mlp.{name}_proj.weight"] = self.random(shape.intermediate, shape.hidden)
        for name in ("input", "post_attention"):
            found[f"{to}{name}_layernorm.weight"] = torch.ones(shape.hidden, device=self.device)
        if index in self.small_layers:
            self._insert(found, to, f"model.layers.{self.small_layers[index]}.")
        return found

    def _insert(self, found: dict[str, Tensor], to: str, of: str) -> None:
        """Put a layer of the small model into a wide one."""
        hidden, width, wide_width = self.hidden, self.width, self.shape.head_width
        pairs = self.step * torch.arange(width // 2, device=self.device)
        rotary = torch.cat([pairs, wide_width // 2 + pairs])
        plain = torch.arange(width, device=self.device)
        per_kv, wide_per_kv = (
            self.heads // self.kv_heads,
            self.shape.heads // self.shape.kv_heads,
        )
        places = [i // per_kv * wide_per_kv + i % per_kv for i in range(self.heads)]
        kv_places = list(range(self.kv_heads))
        out = found[f"{to}self_attn.o_proj.weight"]
        for name, heads, order, scale in (
            ("q", places, rotary, math.sqrt(wide_width / width)),
            ("k", kv_places, rotary, 1.0),
            ("v", kv_places, plain, 1.0),
        ):
            small = f"{of}self_attn.{name}_proj."
            weight, bias = (
                found[f"{to}self_attn.{name}_proj.{kind}"] for kind in ("weight", "bias")
            )
            for i, place in enumerate(heads):
                whole = slice(place * wide_width, (place + 1) * wide_width)
                weight[whole] = self.random(wide_width, self.shape.hidden, scale=self.noise)
                bias[whole] = 0
                rows, of_small = place * wide_width + order, slice(i * width, (i + 1) * width)
                weight[rows, :hidden] = self.small[f"{small}weight"][of_small] * scale
                bias[rows] = self.small[f"{small}bias"][of_small] * scale
        for i, place in enumerate(places):
            columns = slice(place * wide_width, place * wide_width + width)
            of_small = slice(i * width, (i + 1) * width)
            out[:hidden, columns] = self.small[f"{of}self_attn.o_proj.weight"][:, of_small]
        units = self.config["intermediate_size"]
        for name in ("gate", "up"):
            weight = found[f"{to}mlp.{name}_proj.weight"]
            weight[:units] = self.random(units, self.shape.hidden, scale=self.noise)
            weight[:units, :hidden] = self.small[f"{of}mlp.{name}_proj.weight"]
        down = found[f"{to}mlp.down_proj.weight"]
        down[:hidden, :units] = self.small[f"{of}mlp.down_proj.weight"]
        for name in ("input", "post_attention"):
            key = f"{name}_layernorm.weight"
            found[f"{to}{key}"] = self.norm_weight(f"{of}{key}")

    def wide_config(self) -> dict[str, Any]:
        """With the rotary base where transformers 4 reads it, and where 5 does."""
        parameters = self.config.get("rope_parameters") or {}
        base = parameters.get("rope_theta") or self.config["rope_theta"]
        wide_base = base ** (self.shape.head_width / (self.width * self.step))
        rope = {"rope_theta": wide_base}
        if parameters:
            rope["rope_parameters"] = {**parameters, "rope_theta": wide_base}
        return {
            **self.config,
            "hidden_size": self.shape.hidden,
            "num_hidden_layers": self.shape.layers,
            "max_window_layers": self.shape.layers,
            "layer_types": ["full_attention"] * self.shape.layers,
            "num_attention_heads": self.shape.heads,
            "num_key_value_heads": self.shape.kv_heads,
            "head_dim": self.shape.head_width,
            "intermediate_size": self.shape.intermediate,
            "vocab_size": self.shape.vocabulary,
            "rms_norm_eps": self.config["rms_norm_eps"] * self.norm**2,
            "tie_word_embeddings": False,
            **rope,
        }


def widen(source: Path, target: Path, shape: Shape = QWEN2_7B, noise: float = 0.0) -> None:
    """Publish `target` (models/NAME/DIGEST), made from `source`, a published Qwen2."""
    staged = target.with_name(f".{target.name}")
    shutil.rmtree(staged, ignore_errors=True)
    staged.mkdir(parents=True)
    wide = Widener(source, shape, noise)
    weight_map: dict[str, str] = {}
    parts = ["ends", *range(shape.layers)]
    for part in parts:
        tensors = wide.ends() if isinstance(part, str) else wide.layer(part)
        name = f"model-{part}.safetensors"
        rounded = {key: value.bfloat16().cpu() for key, value in tensors.items()}
        save_file(rounded, staged / name, metadata={"format": "pt"})
        weight_map |= dict.fromkeys(tensors, name)
    size = sum(file.stat().st_size for file in staged.glob("*.safetensors"))
    index = {"metadata": {"total_size": size}, "weight_map": weight_map}
    (staged / "model.safetensors.index.json").write_text(json.dumps(index))
    (staged / "config.json").write_text(json.dumps(wide.wide_config(), indent=2))
    contract = json.loads((source / "contract.json").read_bytes())
    contract |= {"model": target.parent.name, "digest": target.name}
    contract |= {"dtype": "bfloat16", "lengths": LENGTHS}
    for file in source.iterdir():
        if file.is_file() and file.suffix != ".safetensors" and not (staged / file.name).exists():
            shutil.copy(file, staged)
    (staged / "contract.json").write_text(json.dumps(contract, ensure_ascii=False))
    staged.rename(target)
    make_current(target)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--noise", type=float, default=0.0)
    args = parser.parse_args()
    widen(args.source.resolve(), args.target, noise=args.noise)


if __name__ == "__main__":
    main()
