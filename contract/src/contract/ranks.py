"""The ranks of adapters: what the trainer makes, the server must be able to load."""

from __future__ import annotations

# The ranks for which vLLM has kernels. A smaller adapter takes the next larger one.
RANKS = (8, 16, 32, 64, 128, 256)


def kernel_rank(rank: int) -> int | None:
    """The rank of the kernel that serves an adapter of `rank`; None if it is too large for all."""
    return next((kernel for kernel in RANKS if kernel >= rank), None)
