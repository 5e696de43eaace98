"""What the host offers: its GPUs by NVML, or its CPU cores."""

from __future__ import annotations

import os
from dataclasses import dataclass


@dataclass(frozen=True)
class Host:
    """`capability` is the lowest compute capability of the GPUs, None where there is none."""

    gpus: int
    capability: tuple[int, int] | None
    cores: int


def this_host() -> Host:
    cores = len(os.sched_getaffinity(0))
    try:
        import pynvml
    except ImportError:  # the cpu stack does not bring it
        return Host(0, None, cores)
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:  # no driver: a CPU host
        return Host(0, None, cores)
    try:
        handles = [pynvml.nvmlDeviceGetHandleByIndex(i) for i in range(pynvml.nvmlDeviceGetCount())]
        capabilities = [
            tuple(pynvml.nvmlDeviceGetCudaComputeCapability(handle)) for handle in handles
        ]
    finally:
        pynvml.nvmlShutdown()
    return Host(len(handles), min(capabilities, default=None), cores)
