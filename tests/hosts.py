"""Typical hosts, and weights of Qwen2-7B's size."""

from inference.host import Gpu, Host
from inference.weights import Weights

GIB = 2**30
MIB = 2**20

# names, capabilities and memory in MiB as nvidia-smi shows them
CARDS = {
    "V100-32G": Gpu("Tesla V100-SXM2-32GB", (7, 0), 32768 * MIB, 32400 * MIB),
    "T4-16G": Gpu("Tesla T4", (7, 5), 15360 * MIB, 14990 * MIB),
    "A10-24G": Gpu("NVIDIA A10", (8, 6), 23028 * MIB, 22600 * MIB),
    "4090-24G": Gpu("NVIDIA GeForce RTX 4090", (8, 9), 24564 * MIB, 22400 * MIB),
    "A100-40G": Gpu("NVIDIA A100-SXM4-40GB", (8, 0), 40960 * MIB, 40500 * MIB),
    "A100-80G": Gpu("NVIDIA A100-SXM4-80GB", (8, 0), 81920 * MIB, 81200 * MIB),
    "H100-80G": Gpu("NVIDIA H100 80GB HBM3", (9, 0), 81559 * MIB, 81000 * MIB),
    "H200-141G": Gpu("NVIDIA H200", (9, 0), 143771 * MIB, 143200 * MIB),
}

QWEN2_7B = Weights(
    size_bytes=15_231_271_888,
    embedding_bytes=2 * 152_064 * 3584 * 2,
    layers=28,
    heads=28,
    kv_heads=4,
    head_width=128,
    position_limit=32_768,
)
QWEN2_72B = Weights(
    size_bytes=145_412_407_296,
    embedding_bytes=2 * 152_064 * 8192 * 2,
    layers=80,
    heads=64,
    kv_heads=8,
    head_width=128,
    position_limit=32_768,
)


def host(card: str | None = None, count: int = 1, driver: str = "550.54.15") -> Host:
    if card is None:
        return Host((), None, 2, 16 * GIB)
    return Host((CARDS[card],) * count, driver, 16, 64 * GIB)
