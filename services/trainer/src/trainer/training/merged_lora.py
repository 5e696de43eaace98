"""LoRA whose forward pass uses the merged weight, rounded as it will be saved and served.

A branch beside the base, `W x + scale * B (A x)`, trains weights that nobody serves: merging rounds
`W + scale * B A` to the dtype of `W`, and updates smaller than its steps are lost. Here every
forward pass uses the rounded sum, so merging changes nothing. Gradients pass straight through the
rounding (Bengio et al. 2013, "Estimating or Propagating Gradients Through Stochastic Neurons"): A
and B get those of the exact sum.

Rounding to the nearest would hide the first steps from the forward pass: most updates are then
smaller than half a step of bfloat16. So each weight has a threshold of its own, random and fixed,
above which it is rounded up (stochastic rounding, Gupta et al. 2015, section 3.1). On average over
many weights the rounded sum is the exact one. An update of zero leaves the base as it is.

Merged weights take as much memory as the base's. If activations are recomputed, memory is short: a
weight is made when its layer is called, and freed after the layer's backward pass. If not, all are
made once for all packs of a step.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from peft.tuners import lora
from peft.tuners.tuners_utils import check_adapters_to_merge
from torch.nn.functional import linear

from trainer.recipe import Lora, Training


def why_not_merged(settings: Lora) -> str | None:
    """The reason why such an adapter has to be a branch beside the base; None if there is none."""
    if settings.dropout:
        return "dropout acts on the adapter alone"
    if settings.dora:
        return "DoRA is PEFT's"
    if settings.quantize != "none":
        return "the base's weights are in 4 bits"
    return None


@contextmanager
def merged_once(model: torch.nn.Module, settings: Training) -> Iterator[None]:
    """Inside, where no weight may change, each merged weight is made once instead of at each use,
    unless activations are recomputed because memory is short.
    """
    layers = [module for module in model.modules() if isinstance(module, MergedLinear)]
    if settings.gradient_checkpointing:
        layers = []
    try:
        for layer in layers:
            layer.kept = layer.merged_weight()
        yield
    finally:
        for layer in layers:
            layer.kept = None


class MergedLinear(lora.Linear):  # type: ignore[misc]  # PEFT has no hints
    """PEFT's LoRA layer for a linear one, computed with the merged weight. It has one adapter."""

    kept: torch.Tensor | None = None

    def __init__(self, base_layer: torch.nn.Linear, adapter_name: str, **options: Any) -> None:
        super().__init__(base_layer, adapter_name, **options)
        weight = base_layer.weight
        self.thresholds = torch.empty(0, dtype=torch.int16)
        if weight.dtype == torch.bfloat16:  # no other dtype is rounded by them
            self.thresholds = _thresholds(weight.numel(), weight.device).view(weight.shape)

    def forward(self, x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        if self.merged or self.disable_adapters:
            return super().forward(x, *args, **kwargs)  # type: ignore[no-any-return]
        weight = self.merged_weight() if self.kept is None else self.kept
        a, b, scale = self._factors()
        bias = self.get_base_layer().bias
        product: Any = _Product.apply
        return product(x.to(weight.dtype), weight, bias, a, b, scale)  # type: ignore[no-any-return]

    @torch.no_grad()
    def merged_weight(self) -> torch.Tensor:
        """round(W + scale * B A), computed in float32: shape and dtype of the base's weight.

        float16's steps are so small that it is rounded to the nearest.
        """
        merge = _opaque_sum if torch.compiler.is_compiling() else _rounded_sum
        return merge(self.get_base_layer().weight, *self._factors(), self.thresholds)

    def merge(self, safe_merge: bool = False, adapter_names: list[str] | None = None) -> None:
        for name in check_adapters_to_merge(self, adapter_names):
            self.get_base_layer().weight.data = self.merged_weight()
            self.merged_adapters.append(name)

    def _factors(self) -> tuple[torch.Tensor, torch.Tensor, float]:
        """A, shape (r, in), B, shape (out, r), and the scale."""
        (name,) = self.active_adapters
        return self.lora_A[name].weight, self.lora_B[name].weight, self.scaling[name]


def _rounded_sum(
    weight: torch.Tensor, a: torch.Tensor, b: torch.Tensor, scale: float, thresholds: torch.Tensor
) -> torch.Tensor:
    with torch.autocast(weight.device.type, enabled=False):
        exact = b @ a
    torch.add(weight, exact, alpha=scale, out=exact)
    if weight.dtype == torch.bfloat16:
        return to_bfloat16(exact, thresholds)
    return exact.to(weight.dtype)


# A compiler might round the sum in another way. It cannot look into an operator, so a compiled
# layer uses the weight that is saved, to the bit.
_opaque_sum = torch.library.custom_op(
    "quorum::merged_weight",
    _rounded_sum,
    mutates_args=(),
    schema="(Tensor weight, Tensor a, Tensor b, float scale, Tensor thresholds) -> Tensor",
)
_opaque_sum.register_fake(lambda weight, a, b, scale, thresholds: torch.empty_like(weight))


def to_bfloat16(exact: torch.Tensor, thresholds: torch.Tensor) -> torch.Tensor:
    """`exact`, float32 and contiguous, rounded by `thresholds`, int16 in [0, 2**15), of the same
    shape. `exact` is overwritten.
    """
    bits = exact.view(torch.int32)
    # a carry out of the lower 16 bits rounds up; the upper 16 bits are the bfloat16
    torch.add(bits, thresholds, alpha=2, out=bits)
    return bits.view(torch.bfloat16).view(*exact.shape, 2)[..., 1].contiguous()


@cache
def _thresholds(count: int, device: torch.device) -> torch.Tensor:
    """The same in every process and on every device; layers of one size share them."""
    generator = torch.Generator().manual_seed(0)
    drawn = torch.randint(2**15, (count,), dtype=torch.int16, generator=generator, device="cpu")
    return drawn.to(device)


class _Product(torch.autograd.Function):
    """`x` (..., in) times the transpose of `weight` (out, in), with gradients for `x` and, through
    `weight = W + scale * b @ a`, for `a` and `b`. The gradient of `weight` itself is never formed.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        a: torch.Tensor,
        b: torch.Tensor,
        scale: float,
    ) -> torch.Tensor:
        ctx.save_for_backward(x, weight, a, b)
        ctx.scale = scale
        return linear(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (grad,) = grads
        x, weight, a, b = ctx.saved_tensors
        grad_x = grad @ weight if ctx.needs_input_grad[0] else None
        # narrow products, as under autocast; scaled in float32, where float16 cannot overflow
        rows, grad_rows = x.flatten(0, -2), grad.flatten(0, -2)
        narrow_a, narrow_b = a.to(grad.dtype), b.to(grad.dtype)
        grad_a = ctx.scale * ((grad_rows @ narrow_b).T @ rows).to(a.dtype)
        grad_b = ctx.scale * (grad_rows.T @ (rows @ narrow_a.T)).to(b.dtype)
        return grad_x, None, None, grad_a, grad_b, None
