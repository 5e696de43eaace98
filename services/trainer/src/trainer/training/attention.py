"""Attention over packed rows: rows lie one behind the other in a batch of one, and none sees
another.

If the host has FlashAttention, that reads the rows' bounds itself. Otherwise PyTorch's
scaled_dot_product_attention is called once a row: it keeps its fast causal kernels, needs no mask
of tokens x tokens, and works on every device. Both get positions that start again in every row.
cuDNN's kernel is not used: it makes a new plan for each pair of row length and pack length, which
more than halved the speed on an H200.
"""

from __future__ import annotations

from importlib.util import find_spec
from itertools import pairwise
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface
from transformers.masking_utils import AttentionMaskInterface

PER_ROW = "quorum_per_row"
KERNELS = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]


def implementation(device: torch.device) -> str:
    """The name by which transformers knows the attention to use on this host."""
    if (
        device.type == "cuda"
        and torch.cuda.get_device_capability(device) >= (8, 0)
        and find_spec("flash_attn")
    ):
        return "flash_attention_2"
    return PER_ROW


def bounds(lengths: list[int], device: torch.device) -> dict[str, Any]:
    """The arguments, besides tokens, that a model needs for packed rows of these `lengths`."""
    ends = [0]
    for length in lengths:
        ends.append(ends[-1] + length)
    positions = torch.cat([torch.arange(length) for length in lengths])
    cumulative = torch.tensor(ends, dtype=torch.int32, device=device)
    return {
        "position_ids": positions[None].to(device),
        "cu_seq_lens_q": cumulative,
        "cu_seq_lens_k": cumulative,
        "max_length_q": max(lengths),
        "max_length_k": max(lengths),
        "row_ends": ends,
    }


def _per_row(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    row_ends: list[int] | None = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """Query of shape (1, heads, tokens, width), key and value with as many heads or a divisor.

    Returns:
        Shape (1, tokens, heads, width), as transformers wants it.
    """
    grouped = query.shape[1] != key.shape[1]
    lengths = [end - start for start, end in pairwise(row_ends or [0, query.shape[2]])]
    # split, because the gradient of each slice would be as long as the whole pack
    parts = [torch.split(part, lengths, dim=2) for part in (query, key, value)]
    rows = []
    for length, one_query, one_key, one_value in zip(lengths, *parts, strict=True):
        mask = None
        if sliding_window is not None and length > sliding_window:
            apart = torch.arange(length, device=query.device)
            apart = apart[:, None] - apart[None]
            mask = (apart >= 0) & (apart < sliding_window)
        if softcap is not None:
            row = _capped(one_query, one_key, one_value, mask, scaling, softcap)
            rows.append(row.transpose(1, 2))
            continue
        with sdpa_kernel(KERNELS):
            row = scaled_dot_product_attention(
                one_query,
                one_key,
                one_value,
                attn_mask=mask,
                is_causal=mask is None,
                scale=scaling,
                enable_gqa=grouped,
            )
        rows.append(row.transpose(1, 2))
    return torch.cat(rows, dim=1), None


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


AttentionInterface.register(PER_ROW, _per_row)
AttentionMaskInterface.register(PER_ROW, _no_mask)
