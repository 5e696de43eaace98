"""The products and the attention of a training step alone: rates that a step could reach."""

from __future__ import annotations

import time
from typing import Any

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention

from bench import speedups
from trainer.training import attention

CUDA = torch.cuda.is_available()
DEVICE = torch.device("cuda" if CUDA else "cpu")


def wait() -> None:
    if CUDA:
        torch.cuda.synchronize()


def parts(shape: dict[str, Any]) -> dict[str, float]:
    """TFLOP/s of the step's products and attentions by themselves, for 8,192 tokens."""
    width, inner, tokens = shape["hidden_size"], shape["intermediate_size"], 8192
    heads, kv = shape["num_attention_heads"], shape["num_key_value_heads"]
    found: dict[str, float] = {}

    def rate(name: str, work: float, function: Any) -> None:
        try:
            for _ in range(3):
                function()
            wait()
            began = time.monotonic()
            for _ in range(10):
                function()
            wait()
            found[name] = 10 * work / (time.monotonic() - began) / 1e12
            print(f"{name:40} {found[name]:8.1f} TFLOP/s", flush=True)
        except Exception as error:  # noqa: BLE001 # not every kernel runs on every card
            print(f"{name}: {error}", flush=True)

    for name, out, inside in (
        ("q", width, width),
        ("k", kv * (width // heads), width),
        ("gate", inner, width),
        ("down", width, inner),
    ):
        x = torch.randn(tokens, inside, device=DEVICE, dtype=torch.bfloat16)
        w = torch.randn(out, inside, device=DEVICE, dtype=torch.bfloat16) * 0.02
        work = 2 * tokens * out * inside
        rate(f"{name}, bf16", work, lambda x=x, w=w: x @ w.T)
        y = x @ w.T
        rate(f"{name}, bf16, gradient", work, lambda y=y, w=w: y @ w)
        quantize = speedups.quantize_rows
        x8, w8, compiled = quantize(x), quantize(w), torch.compile(quantize)

        def product(x8: Any = x8, w8: Any = w8) -> Any:
            return speedups.scaled_product(*x8, *w8)

        def quantizing(x: Any = x, w8: Any = w8, compiled: Any = compiled) -> Any:
            return speedups.scaled_product(*compiled(x), *w8)

        rate(f"{name}, fp8 rows", work, product)
        rate(f"{name}, fp8 rows, quantizing", work, quantizing)
    size = width // heads
    for rows in (2, 8):
        length = tokens // rows
        q, k, v = (
            torch.randn(rows, length, h, size, device=DEVICE, dtype=torch.bfloat16).transpose(1, 2)
            for h in (heads, kv, kv)
        )
        for part in (q, k, v):
            part.requires_grad_()
        host_ends = torch.arange(rows + 1, dtype=torch.int32) * length
        ends = host_ends.to(DEVICE)
        flat = [p.transpose(1, 2).reshape(1, tokens, -1, size).transpose(1, 2) for p in (q, k, v)]
        flat = [p.detach().requires_grad_() for p in flat]

        def dense(backend: Any, q: Any = q, k: Any = k, v: Any = v) -> Any:
            if backend == SDPBackend.CUDNN_ATTENTION:  # which SDPA may refuse for grouped heads
                return torch.ops.aten._scaled_dot_product_cudnn_attention(
                    q, k, v, None, True, 0.0, True, False
                )[0]
            with sdpa_kernel(backend):
                return scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)

        def varlen(
            flat: Any = flat, ends: Any = ends, host_ends: Any = host_ends, length: int = length
        ) -> Any:
            q, k, v = flat
            return attention._packed(
                torch.nn.Module(), q, k, v, None,
                row_ends=host_ends, cu_seq_lens_q=ends if CUDA else None, max_length_q=length,
            )[0]  # fmt: skip

        forward = 2 * length * width * tokens
        for name, function in (
            ("flash", lambda d=dense: d(SDPBackend.FLASH_ATTENTION)),
            ("cudnn", lambda d=dense: d(SDPBackend.CUDNN_ATTENTION)),
            ("varlen", varlen),
        ):
            rate(f"{name}, {rows} rows", forward, function)
            rate(
                f"{name}, {rows} rows, with gradient",
                3 * forward,
                lambda f=function: (lambda o: o.backward(torch.ones_like(o)))(f()),
            )
    return found
