"""Candidates for a faster training step, which `bench/train_gpu.py` measures beside the trainer's
own: cuDNN's attention, which needs rows of one length, and frozen weights in fp8.
"""

from __future__ import annotations

from typing import Any

import torch
from peft.tuners.lora import Linear as LoraLinear
from torch.nn.functional import linear
from transformers import AttentionInterface

from trainer.training import attention, compiling
from trainer.training.reply_loss import ReplyLoss

E4M3 = torch.float8_e4m3fn
E4M3_MAX = 448.0


def cudnn_equal_rows(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    max_length_q: int = 0,
    **rest: Any,
) -> tuple[torch.Tensor, None]:
    """cuDNN's attention for rows that all have `max_length_q` tokens: they become a batch."""
    if query.device.type == "cpu":
        return attention._packed(module, query, key, value, None, scaling, **rest)
    heads, tokens, width = query.shape[1:]
    batch = [
        part.transpose(1, 2).reshape(-1, max_length_q, part.shape[1], width).transpose(1, 2)
        for part in (query, key, value)
    ]
    out = torch.ops.aten._scaled_dot_product_cudnn_attention(
        *batch, None, True, 0.0, True, False, scale=scaling
    )[0]
    return out.transpose(1, 2).reshape(1, tokens, heads, width), None


AttentionInterface.register("cudnn_equal_rows", cudnn_equal_rows)


def compile_for_one_length(module: ReplyLoss) -> None:
    """As the trainer compiles, but each graph is for packs of one length, as cuDNN's plans are."""
    torch._dynamo.config.specialize_float = True
    for layer in module.causal.base_model.layers:
        layer.compile(backend=compiling.COMPILER)
    module.chunk_loss = torch.compile(ReplyLoss._chunk_loss, backend=compiling.COMPILER)


def quantize_rows(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Shape (rows, width) as e4m3, and the scale of each row, float32 (rows, 1)."""
    scale = x.abs().amax(-1, keepdim=True).float().clamp(min=1e-12) / E4M3_MAX
    return (x.float() / scale).clamp(-E4M3_MAX, E4M3_MAX).to(E4M3), scale


def scaled_product(
    x: torch.Tensor, x_scale: torch.Tensor, weight: torch.Tensor, scale: torch.Tensor
) -> torch.Tensor:
    """x (rows, in) times the transposed `weight` (out, in), in bfloat16. On a CPU in float32."""
    if x.device.type == "cpu":
        return ((x.float() * x_scale) @ (weight.float() * scale).T).bfloat16()
    return torch._scaled_mm(
        x, weight.T, scale_a=x_scale, scale_b=scale.T, out_dtype=torch.bfloat16, use_fast_accum=True
    )


class Fp8Product(torch.autograd.Function):
    """x (tokens, in) times a frozen weight in e4m3: `weight` (out, in) for the product, and
    `turned` (in, out), quantized along its other side, for the gradient.
    """

    @staticmethod
    def forward(ctx: Any, x: Any, weight: Any, scale: Any, turned: Any, turned_scale: Any) -> Any:
        ctx.save_for_backward(turned, turned_scale)
        x8, x_scale = quantize_rows(x)
        return scaled_product(x8, x_scale, weight, scale)

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        turned, scale = ctx.saved_tensors
        grad8, grad_scale = quantize_rows(grad)
        return scaled_product(grad8, grad_scale, turned, scale), None, None, None, None


@torch._dynamo.allow_in_graph  # type: ignore[untyped-decorator] # Dynamo cannot trace the Function for any number of tokens
def fp8_product(
    x: torch.Tensor,
    weight: torch.Tensor,
    scale: torch.Tensor,
    turned: torch.Tensor,
    turned_scale: torch.Tensor,
) -> Any:
    apply: Any = Fp8Product.apply
    return apply(x, weight, scale, turned, turned_scale)


class Fp8LoraLinear(LoraLinear):  # type: ignore[misc]
    """`use_fp8` sets `weight8`, `scale8`, `turned8` and `turned_scale8`."""

    def forward(self, x: torch.Tensor, *_: Any, **__: Any) -> Any:
        a = self.lora_A["default"].weight.to(x.dtype)
        b = self.lora_B["default"].weight.to(x.dtype)
        flat = x.reshape(-1, x.shape[-1])
        out = fp8_product(flat, self.weight8, self.scale8, self.turned8, self.turned_scale8)
        out = out + linear(linear(flat, a), b) * self.scaling["default"]
        if self.base_layer.bias is not None:
            out = out + self.base_layer.bias
        return out.view(*x.shape[:-1], -1)


def use_fp8(model: torch.nn.Module) -> None:
    """Quantize the frozen weights of the adapted layers, both ways round; the bfloat16 weights are
    given up.
    """
    for module in model.modules():
        if not isinstance(module, LoraLinear):
            continue
        weight = module.base_layer.weight.data
        pairs = quantize_rows(weight), quantize_rows(weight.T.contiguous())
        for stem, (values, scale) in zip(("", "turned_"), pairs, strict=True):
            module.register_buffer(f"{stem.rstrip('_') or 'weight'}8", values, persistent=False)
            module.register_buffer(f"{stem}scale8", scale, persistent=False)
        module.base_layer.weight.data = weight.new_empty(0)
        module.__class__ = Fp8LoraLinear
