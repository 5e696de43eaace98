"""Attention over packed rows: rows lie one behind the other in a batch of one, and none sees
another.

On a GPU, PyTorch's FlashAttention takes all rows in one call, with their bounds. Where it cannot
(CPUs, older cards, float32, wide heads), scaled_dot_product_attention is called once a row: it
needs no mask of tokens x tokens either. Both get positions that start again in every row. cuDNN's
kernel is not used: it makes a new plan for each pair of row length and pack length, which more than
halved the speed on an H200.
"""

from __future__ import annotations

from itertools import accumulate
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface
from transformers.masking_utils import AttentionMaskInterface

PACKED = "quorum_packed"  # the name by which transformers knows it
KERNELS = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]
WIDEST_HEAD = 128  # up to here FlashAttention's gradient runs on every card that has it


def bounds(lengths: list[int], device: torch.device) -> dict[str, Any]:
    """The arguments, besides tokens, that a model needs for packed rows of these `lengths`.

    `row_ends`, int32 (rows + 1,) on the CPU: 0 and each row's end. `cu_seq_lens_q`: the same on
    `device`, if that has FlashAttention. `max_length_q`: the longest row.
    """
    ends = torch.tensor(list(accumulate(lengths, initial=0)), dtype=torch.int32)
    positions = torch.cat([torch.arange(length) for length in lengths])
    return {
        "position_ids": sent(positions[None], device),
        "cu_seq_lens_q": sent(ends, device) if has_flash(device) else None,
        "max_length_q": max(lengths),
        "row_ends": ends,
    }


def sent(values: torch.Tensor, device: torch.device) -> torch.Tensor:
    """`values` on `device`. To a GPU they go from pinned memory, while it is still computing."""
    if device.type == "cuda":
        values = values.pin_memory()
    return values.to(device, non_blocking=True)


def _packed(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    row_ends: torch.Tensor | None = None,
    cu_seq_lens_q: torch.Tensor | None = None,
    max_length_q: int = 0,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Query of shape (1, heads, tokens, width), key and value with as many heads or a divisor.

    Returns:
        Shape (1, tokens, heads, width), as transformers wants it.
    """
    kind, width, device = query.dtype, query.shape[-1], query.device.type
    if torch.is_autocast_enabled(device):  # RoPE makes query and key float32
        kind = torch.get_autocast_dtype(device)
    # the kernel takes no other heads; PyTorch pads them before it calls it
    fits = width <= WIDEST_HEAD and width % 8 == 0 and width == value.shape[-1]
    if cu_seq_lens_q is not None and softcap is None and kind != torch.float32 and fits:
        # as FlashAttention wants them: (tokens, heads, width)
        query, key, value = (
            part[0].transpose(0, 1).to(kind).contiguous() for part in (query, key, value)
        )
        out = torch.ops.aten._flash_attention_forward(
            *(query, key, value, cu_seq_lens_q, cu_seq_lens_q, max_length_q, max_length_q),
            *(0.0, True, False),  # no dropout, causal, no mask for debugging
            scale=scaling,
            window_size_left=sliding_window - 1 if sliding_window else None,
            window_size_right=0 if sliding_window else None,
        )
        return out[0][None], None
    options = {"scaling": scaling, "sliding_window": sliding_window, "softcap": softcap}
    return _by_rows(query, key, value, row_ends, options), None


@torch.compiler.disable  # type: ignore[untyped-decorator] # a graph would be for these lengths only
def _by_rows(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    row_ends: torch.Tensor | None,
    options: dict[str, Any],
) -> torch.Tensor:
    lengths = [query.shape[2]] if row_ends is None else row_ends.diff().tolist()
    # split, because the gradient of each slice would be as long as the whole pack
    parts = [torch.split(part, lengths, dim=2) for part in (query, key, value)]
    rows = [_row(*one, **options).transpose(1, 2) for one in zip(*parts, strict=True)]
    return torch.cat(rows, dim=1)


def has_flash(device: torch.device) -> bool:
    """True if PyTorch's FlashAttention runs on `device`."""
    return device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0)


def _row(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    *,
    scaling: float | None,
    sliding_window: int | None,
    softcap: float | None,
) -> torch.Tensor:
    """Attention within one row, in the shape of `query`."""
    mask, length = None, query.shape[2]
    if sliding_window is not None and length > sliding_window:
        apart = torch.arange(length, device=query.device)
        apart = apart[:, None] - apart[None]
        mask = (apart >= 0) & (apart < sliding_window)
    if softcap is not None:
        return _capped(query, key, value, mask, scaling, softcap)
    with sdpa_kernel(KERNELS):
        return scaled_dot_product_attention(
            query,
            key,
            value,
            attn_mask=mask,
            is_causal=mask is None,
            scale=scaling,
            enable_gqa=query.shape[1] != key.shape[1],
        )


def _capped(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None,
    scaling: float | None,
    softcap: float,
) -> torch.Tensor:
    """Attention whose scores stay within +-`softcap` (Gemma 2, Riviere et al. 2024, section 2); no
    fused kernel of PyTorch has that.
    """
    group = query.shape[1] // key.shape[1]
    key, value = (part.repeat_interleave(group, dim=1) for part in (key, value))
    scores = query @ key.transpose(2, 3) * (scaling or query.shape[-1] ** -0.5)
    scores = softcap * torch.tanh(scores / softcap)
    if mask is None:
        mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
    scores = scores.masked_fill(~mask, float("-inf"))
    return scores.softmax(-1, dtype=torch.float32).to(value.dtype) @ value


def _no_mask(*_: Any, **__: Any) -> None:
    """Rows are bounded by `row_ends`; a mask would only be built to be thrown away."""


AttentionInterface.register(PACKED, _packed)
AttentionMaskInterface.register(PACKED, _no_mask)
