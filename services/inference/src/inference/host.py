"""The host's GPUs and driver, read through NVML, and its CPU cores. Does not import torch.

NVML lists every card. CUDA gives a process only those in CUDA_VISIBLE_DEVICES, so the launcher must
count only these too.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from contract.stacks import visible_cards


@dataclass(frozen=True)
class Gpu:
    """One card. `capability` is its compute capability. Sizes are in bytes."""

    name: str
    capability: tuple[int, int]
    memory_bytes: int
    free_bytes: int


@dataclass(frozen=True)
class Host:
    """`driver` is the NVIDIA driver's version; None if no driver answers. `free_bytes` is the
    main memory that a new process may use.
    """

    gpus: tuple[Gpu, ...]
    driver: str | None
    cores: int
    free_bytes: int

    @property
    def capability(self) -> tuple[int, int] | None:
        """The lowest compute capability of the GPUs; None if there is no GPU."""
        return min((gpu.capability for gpu in self.gpus), default=None)


def this_host() -> Host:
    cores, free_bytes = len(os.sched_getaffinity(0)), _free_bytes()
    try:
        import pynvml
    except ImportError:  # the cpu stack does not include it
        return Host((), None, cores, free_bytes)
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:  # no driver: a CPU host
        return Host((), None, cores, free_bytes)
    try:
        handles = [pynvml.nvmlDeviceGetHandleByIndex(i) for i in range(pynvml.nvmlDeviceGetCount())]
        driver = pynvml.nvmlSystemGetDriverVersion()
        ids = [pynvml.nvmlDeviceGetUUID(handle) for handle in handles]
        chosen = visible_cards(ids, os.environ.get("CUDA_VISIBLE_DEVICES"))
        gpus = tuple(_gpu(pynvml, handles[i]) for i in chosen)
    finally:
        pynvml.nvmlShutdown()
    return Host(gpus, driver, cores, free_bytes)


def _free_bytes() -> int:
    """What the kernel calls available, or what the container's limit leaves if that is less."""
    rows = dict(line.split(":") for line in Path("/proc/meminfo").read_text().splitlines())
    free = int(rows["MemAvailable"].split()[0]) * 1024
    cgroup = Path("/sys/fs/cgroup")
    try:
        limit = (cgroup / "memory.max").read_text().strip()
        used = int((cgroup / "memory.current").read_text())
        cached = re.search(r"^inactive_file (\d+)$", (cgroup / "memory.stat").read_text(), re.M)
    except (OSError, ValueError):  # no container, or cgroups of version 1
        return free
    if limit == "max":
        return free
    return min(free, int(limit) - used + (int(cached[1]) if cached else 0))


def _gpu(nvml: object, handle: object) -> Gpu:
    memory = nvml.nvmlDeviceGetMemoryInfo(handle)  # type: ignore[attr-defined]
    major, minor = nvml.nvmlDeviceGetCudaComputeCapability(handle)  # type: ignore[attr-defined]
    name = nvml.nvmlDeviceGetName(handle)  # type: ignore[attr-defined]
    return Gpu(name, (major, minor), memory.total, memory.free)
