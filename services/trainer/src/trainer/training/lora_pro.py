"""LoRA-Pro (Wang et al. 2024, "LoRA-Pro: Are Low-Rank Adapters Properly Optimized?", section 3).

A step of both factors moves the weights by `scale * (dB @ A + B @ dA)`. With the factors' own
gradients, that is a poor image of the full gradient. The closed form below makes it the nearest one
in the Frobenius norm that the factors can reach. Of all pairs that reach it, the one closest to the
plain gradients is taken. AdamW then uses the adjusted gradients, with moments of the factors' size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch

EPSILON = 1e-7  # eigenvalues below this share of the largest count as zero


class LoraPro(torch.optim.AdamW):
    """AdamW that adjusts the gradients of every pair (A, B) before each step."""

    def __init__(
        self,
        groups: Any,
        factors: Iterable[tuple[torch.Tensor, torch.Tensor]],
        scale: float,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(groups, weight_decay=weight_decay)
        self._factors = list(factors)
        self._scale = scale

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> Any:
        for a, b in self._factors:
            if a.grad is not None and b.grad is not None:
                a.grad, b.grad = adjust(a, b, a.grad, b.grad, self._scale)
        return super().step(closure)


def adjust(
    a: torch.Tensor, b: torch.Tensor, grad_a: torch.Tensor, grad_b: torch.Tensor, scale: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """The gradients of `a` (r, in) and `b` (out, r) that move `scale * b @ a` most like the full
    gradient would (theorems 2.1 and 2.3).

    A factor without full rank is inverted on its range only (Moore-Penrose); `b` is zero at the
    start.
    """
    values_a, vectors_a = torch.linalg.eigh(a @ a.T)
    values_b, vectors_b = torch.linalg.eigh(b.T @ b)
    inverse_a = _inverse(values_a, vectors_a)
    inverse_b = _inverse(values_b, vectors_b)

    least_a = inverse_b @ grad_a / scale**2
    outside = grad_b - b @ (inverse_b @ (b.T @ grad_b))
    least_b = outside @ inverse_a / scale**2

    # X of b'b X + X aa' = -(b'b)^-1 grad_a a' / scale^2 (Sylvester), in the two eigenbases
    right = vectors_b.T @ (-least_a @ a.T) @ vectors_a
    sums = values_b.clamp(min=0)[:, None] + values_a.clamp(min=0)[None]
    x = vectors_b @ torch.where(sums > 0, right / sums, 0.0) @ vectors_a.T
    return least_a + x @ a, least_b - b @ x


def _inverse(values: torch.Tensor, vectors: torch.Tensor) -> torch.Tensor:
    kept = values > EPSILON * values[-1]
    return vectors @ torch.diag(torch.where(kept, 1 / values, 0.0)) @ vectors.T
