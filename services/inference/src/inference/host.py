"""The host's GPUs and driver, read through NVML, and its CPU cores. Does not import torch."""

from __future__ import annotations

import os
from dataclasses import dataclass


@dataclass(frozen=True)
class Gpu:
    """One card. `capability` is its compute capability. Sizes are in bytes."""

    name: str
    capability: tuple[int, int]
    memory_bytes: int
    free_bytes: int


@dataclass(frozen=True)
class Host:
    """`driver` is the NVIDIA driver's version; None if no driver answers."""

    gpus: tuple[Gpu, ...]
    driver: str | None
    cores: int

    @property
    def capability(self) -> tuple[int, int] | None:
        """The lowest compute capability of the GPUs; None if there is no GPU."""
        return min((gpu.capability for gpu in self.gpus), default=None)


def this_host() -> Host:
    cores = len(os.sched_getaffinity(0))
    try:
        import pynvml
    except ImportError:  # the cpu stack does not include it
        return Host((), None, cores)
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:  # no driver: a CPU host
        return Host((), None, cores)
    try:
        handles = [pynvml.nvmlDeviceGetHandleByIndex(i) for i in range(pynvml.nvmlDeviceGetCount())]
        driver = pynvml.nvmlSystemGetDriverVersion()
        gpus = tuple(_gpu(pynvml, handle) for handle in handles)
    finally:
        pynvml.nvmlShutdown()
    return Host(gpus, driver, cores)


def _gpu(nvml: object, handle: object) -> Gpu:
    memory = nvml.nvmlDeviceGetMemoryInfo(handle)  # type: ignore[attr-defined]
    major, minor = nvml.nvmlDeviceGetCudaComputeCapability(handle)  # type: ignore[attr-defined]
    name = nvml.nvmlDeviceGetName(handle)  # type: ignore[attr-defined]
    return Gpu(name, (major, minor), memory.total, memory.free)
