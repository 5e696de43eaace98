"""Candidates for a faster training step, which `bench/train_gpu.py` measures one against another.

Each function changes a prepared PeftModel, or the trainer's way through it, in place. What pays
moves into the trainer.
"""

from __future__ import annotations

from functools import partial
from types import MethodType
from typing import Any

import torch
from peft.tuners.lora import Linear as LoraLinear
from torch.nn.functional import linear, scaled_dot_product_attention
from torch.utils.checkpoint import (
    CheckpointPolicy,
    checkpoint,
    create_selective_checkpoint_contexts,
)
from transformers import AttentionInterface

from trainer.training import attention
from trainer.training.reply_loss import CHUNK_TOKENS, Pack, ReplyLoss

E4M3 = torch.float8_e4m3fn
E4M3_MAX = 448.0

# --- attention ---------------------------------------------------------------------------------


def varlen_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    cu_seq_lens_q: torch.Tensor | None = None,
    max_length_q: int = 0,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """The trainer's attention on a GPU. On a CPU a mask does the same, which can be compiled.

    Query of shape (1, heads, tokens, width), key and value with as many heads or a divisor.
    """
    assert cu_seq_lens_q is not None
    if query.device.type == "cpu":
        tokens = query.shape[2]
        places = torch.arange(tokens)
        row = torch.bucketize(places, cu_seq_lens_q[1:-1], right=True)
        mask = (row[:, None] == row[None]) & (places[:, None] >= places[None])
        out = scaled_dot_product_attention(
            query, key, value, attn_mask=mask, scale=scaling, enable_gqa=True
        )
        return out.transpose(1, 2), None
    return attention._packed(
        module, query, key, value, None, scaling,
        cu_seq_lens_q=cu_seq_lens_q, max_length_q=max_length_q,
    )  # fmt: skip


def cudnn_equal_rows(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    cu_seq_lens_q: torch.Tensor | None = None,
    max_length_q: int = 0,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """cuDNN's attention for rows that all have `max_length_q` tokens: they become a batch."""
    if query.device.type == "cpu":
        return varlen_attention(module, query, key, value, None, scaling, cu_seq_lens_q)
    heads, tokens, width = query.shape[1:]
    batch = [
        part.transpose(1, 2).reshape(-1, max_length_q, part.shape[1], width).transpose(1, 2)
        for part in (query, key, value)
    ]
    out = torch.ops.aten._scaled_dot_product_cudnn_attention(
        *batch, None, True, 0.0, True, False, scale=scaling
    )[0]
    return out.transpose(1, 2).reshape(1, tokens, heads, width), None


AttentionInterface.register("varlen", varlen_attention)
AttentionInterface.register("cudnn_equal_rows", cudnn_equal_rows)


trainer_bounds = attention.bounds


def bounds_per_row(lengths: list[int], device: torch.device) -> dict[str, Any]:
    """The trainer's, without those that FlashAttention reads."""
    return trainer_bounds(lengths, device) | {"cu_seq_lens_q": None}


def bounds_on_cpu(lengths: list[int], device: torch.device) -> dict[str, Any]:
    """The trainer's for a GPU."""
    found = trainer_bounds(lengths, device)
    return found | {"cu_seq_lens_q": found["row_ends"]}


# --- LoRA --------------------------------------------------------------------------------------


class FusedLora(torch.autograd.Function):
    """x W' + s (x A') B', with the branch added to the base's product in place.

    PEFT makes three more tensors of the output's size (product, scaled product, sum) and casts A
    and B at every use. Shapes: x (..., in), W (out, in), A (r, in), B (out, r).
    """

    @staticmethod
    def forward(ctx: Any, x: Any, weight: Any, bias: Any, a: Any, b: Any, scale: float) -> Any:
        with torch.autocast(x.device.type, enabled=False):
            a16, b16 = a.to(x.dtype), b.to(x.dtype)
            flat = x.reshape(-1, x.shape[-1])
            low = flat @ a16.T
            out = linear(flat, weight, bias).addmm_(low, b16.T, alpha=scale)
        ctx.save_for_backward(flat, low, weight, a16, b16)
        ctx.scale, ctx.dtypes = scale, (a.dtype, b.dtype)
        return out.view(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        x, low, weight, a, b = ctx.saved_tensors
        flat = grad.reshape(-1, grad.shape[-1])
        grad_low = (flat @ b) * ctx.scale
        grad_b = (flat.T @ low) * ctx.scale
        grad_a = grad_low.T @ x
        grad_x = None
        if ctx.needs_input_grad[0]:
            grad_x = (flat @ weight).addmm_(grad_low, a).view(*grad.shape[:-1], -1)
        to_a, to_b = ctx.dtypes
        return grad_x, None, None, grad_a.to(to_a), grad_b.to(to_b), None


class FusedLoraLinear(LoraLinear):  # type: ignore[misc] # peft has no hints
    def forward(self, x: torch.Tensor, *_: Any, **__: Any) -> Any:
        base = self.base_layer
        a, b = self.lora_A["default"].weight, self.lora_B["default"].weight
        apply: Any = FusedLora.apply
        return apply(x, base.weight, base.bias, a, b, self.scaling["default"])


class PlainLoraLinear(LoraLinear):  # type: ignore[misc]
    """The same sum in plain operations, for torch.compile to fuse."""

    def forward(self, x: torch.Tensor, *_: Any, **__: Any) -> Any:
        base = self.base_layer
        a = self.lora_A["default"].weight.to(x.dtype)
        b = self.lora_B["default"].weight.to(x.dtype)
        scale = self.scaling["default"]
        return linear(x, base.weight, base.bias) + linear(linear(x, a), b) * scale


def use_lora(model: torch.nn.Module, kind: type[LoraLinear]) -> None:
    for module in model.modules():
        if isinstance(module, LoraLinear):
            module.__class__ = kind


# --- fp8 ---------------------------------------------------------------------------------------


def quantize_rows(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Shape (rows, width) as e4m3, and the scale of each row, float32 (rows, 1)."""
    scale = x.abs().amax(-1, keepdim=True).float().clamp(min=1e-12) / E4M3_MAX
    return (x.float() / scale).clamp(-E4M3_MAX, E4M3_MAX).to(E4M3), scale


def quantize_whole(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Shape (rows, width) as e4m3, and one scale, float32 ()."""
    scale = x.abs().amax().float().clamp(min=1e-12) / E4M3_MAX
    return (x.float() / scale).clamp(-E4M3_MAX, E4M3_MAX).to(E4M3), scale


def scaled_product(
    x: torch.Tensor, x_scale: torch.Tensor, weight: torch.Tensor, scale: torch.Tensor
) -> torch.Tensor:
    """x (rows, in) times the transposed `weight` (out, in), in bfloat16. On a CPU in float32."""
    if x.device.type == "cpu":
        return ((x.float() * x_scale) @ (weight.float() * scale).T).bfloat16()
    if scale.dim():
        scale = scale.T
    return torch._scaled_mm(
        x, weight.T, scale_a=x_scale, scale_b=scale, out_dtype=torch.bfloat16, use_fast_accum=True
    )


class Fp8Product(torch.autograd.Function):
    """x (tokens, in) times a frozen weight in e4m3: `weight` (out, in) for the product, and
    `turned` (in, out), quantized along its other side, for the gradient.
    """

    @staticmethod
    def forward(ctx: Any, x: Any, weight: Any, scale: Any, turned: Any, turned_scale: Any) -> Any:
        ctx.save_for_backward(turned, turned_scale)
        x8, x_scale = quantized(x, scale)
        return scaled_product(x8, x_scale, weight, scale)

    @staticmethod
    def backward(ctx: Any, grad: Any) -> Any:
        turned, scale = ctx.saved_tensors
        grad8, grad_scale = quantized(grad, scale)
        return scaled_product(grad8, grad_scale, turned, scale), None, None, None, None


def quantized(x: torch.Tensor, other: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """`x` in e4m3, with as many scales as the scale `other` of its factor has."""
    return quantize_rows(x) if other.dim() else quantize_whole(x)


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

    quantize = staticmethod(quantize_rows)

    def forward(self, x: torch.Tensor, *_: Any, **__: Any) -> Any:
        a = self.lora_A["default"].weight.to(x.dtype)
        b = self.lora_B["default"].weight.to(x.dtype)
        flat = x.reshape(-1, x.shape[-1])
        out = fp8_product(flat, self.weight8, self.scale8, self.turned8, self.turned_scale8)
        out = out + linear(linear(flat, a), b) * self.scaling["default"]
        if self.base_layer.bias is not None:
            out = out + self.base_layer.bias
        return out.view(*x.shape[:-1], -1)


class Fp8WholeLoraLinear(Fp8LoraLinear):
    quantize = staticmethod(quantize_whole)


def use_fp8(model: torch.nn.Module, kind: type[Fp8LoraLinear]) -> None:
    """Quantize the frozen weights of the adapted layers, both ways round; the bfloat16 weights are
    given up.
    """
    for module in model.modules():
        if not isinstance(module, LoraLinear):
            continue
        weight = module.base_layer.weight.data
        pairs = kind.quantize(weight), kind.quantize(weight.T.contiguous())
        for stem, (values, scale) in zip(("", "turned_"), pairs, strict=True):
            module.register_buffer(f"{stem.rstrip('_') or 'weight'}8", values, persistent=False)
            module.register_buffer(f"{stem}scale8", scale, persistent=False)
        module.base_layer.weight.data = weight.new_empty(0)
        module.__class__ = kind


# --- recomputation -----------------------------------------------------------------------------

PRODUCTS = {
    torch.ops.aten.mm.default,
    torch.ops.aten.addmm.default,
    torch.ops.aten._flash_attention_forward.default,
    torch.ops.aten._scaled_dot_product_flash_attention.default,
    torch.ops.aten._scaled_dot_product_cudnn_attention.default,
}


def _keep_products(ctx: Any, op: Any, *_: Any, **__: Any) -> CheckpointPolicy:
    kept = op in PRODUCTS
    return CheckpointPolicy.MUST_SAVE if kept else CheckpointPolicy.PREFER_RECOMPUTE


def recompute(model: Any, what: str) -> None:
    """`what`: "all" layers; "mlp": only their MLPs; "every N": one layer in N; "not products": all,
    but the outputs of matrix products and attention are kept.
    """
    causal = model.get_base_model()
    if what == "all":
        return  # which the recipe says
    if what == "mlp":
        for layer in causal.model.layers:
            layer.mlp.forward = partial(checkpoint, layer.mlp.forward, use_reentrant=False)
    elif what == "not products":
        causal.gradient_checkpointing_enable(
            {
                "use_reentrant": False,
                "context_fn": partial(create_selective_checkpoint_contexts, _keep_products),
            }
        )
    elif what.startswith("every "):
        causal.gradient_checkpointing_enable({"use_reentrant": False})
        for number, layer in enumerate(causal.model.layers):
            layer.gradient_checkpointing = number % int(what.split()[1]) == 0
    else:
        assert what == "none", what


# --- the loss ----------------------------------------------------------------------------------


def use_checkpointed_loss(module: ReplyLoss) -> None:
    """The loss before chunks took their gradients at once: logits are computed twice."""

    def loss(self: ReplyLoss, pack: Pack) -> torch.Tensor:
        hidden = self._hidden(pack.ids, pack.bounds)[pack.predict]
        parts = [torch.split(p, CHUNK_TOKENS) for p in (hidden, pack.targets, pack.weights)]
        losses: list[torch.Tensor] = [
            checkpoint(self._chunk_loss, *chunk, use_reentrant=False)
            for chunk in zip(*parts, strict=True)
        ]
        return torch.stack(losses).sum()

    module._loss = MethodType(loss, module)  # type: ignore[method-assign]


def compile_loss(module: ReplyLoss) -> None:
    backend = "inductor" if torch.cuda.is_available() else "aot_eager"
    compiled = torch.compile(module._chunk_loss, dynamic=True, backend=backend)
    module._chunk_loss = compiled  # type: ignore[method-assign]
