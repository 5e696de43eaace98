"""Whether a newer model's server may start beside the old one."""

from dataclasses import replace
from typing import Any

import pytest

from contracts import make_contract
from hosts import GIB, QWEN2_7B, host
from inference.host import Host
from inference.launch import launch
from inference.room import lacks_room
from inference.settings import Settings
from inference.weights import Weights

SMALL = replace(QWEN2_7B, size_bytes=1 * GIB, embedding_bytes=GIB // 4, kv_heads=2, layers=24)


def with_old(where: Host, share: float) -> Host:
    """The host while the old server holds that share of each card."""
    held = [replace(g, free_bytes=g.free_bytes - round(share * g.memory_bytes)) for g in where.gpus]
    return replace(where, gpus=tuple(held))


def reason(where: Host, now: Host, weights: Weights, **chosen: Any) -> tuple[str | None, str]:
    """The reason why it lacks room, and the share that it would get alone."""
    settings = Settings.model_validate({"stack": "cu12" if where.gpus else "cpu", **chosen})
    contract = make_contract(longest_prompt=1500)

    def plan(host: Host) -> Any:
        return launch(host, contract, weights, 1, settings)

    alone = plan(where)
    command = alone.command
    name = "--gpu-memory-utilization"
    share = command[command.index(name) + 1] if name in command else ""
    return lacks_room(now, weights, settings, alone, plan), share


def test_a_small_model_leaves_half_of_the_cards_to_the_next() -> None:
    where = host("H100-80G")
    assert reason(where, with_old(where, 0.46), SMALL) == (None, "0.45")


@pytest.mark.parametrize("card", ["A10-24G", "A100-80G"])
def test_a_model_that_needs_the_whole_card_makes_the_next_wait(card: str) -> None:
    where = host(card)
    why, share = reason(where, with_old(where, 0.9), QWEN2_7B)
    assert share == "0.9"
    assert why == "the old server holds the memory that it needs"


def test_a_newer_server_never_starts_with_a_smaller_cache() -> None:
    where = host("H200-141G")
    why, _ = reason(where, with_old(where, 0.6), QWEN2_7B)
    assert why == "its KV cache would be smaller beside the old server"


def test_a_chosen_share_must_be_free_a_second_time() -> None:
    where = host("H200-141G")
    half = {"gpu_memory_utilization": 0.5}
    assert reason(where, with_old(where, 0.45), QWEN2_7B, **half)[0] is None
    why, _ = reason(where, with_old(where, 0.5), QWEN2_7B, **half)
    assert why == "GPU_MEMORY_UTILIZATION is 0.5, and a share of 0.49 is free"


def test_on_a_cpu_the_main_memory_decides() -> None:
    where = host(None)
    assert reason(where, where, SMALL) == (None, "")
    why, _ = reason(where, replace(where, free_bytes=4 * GIB), SMALL)
    assert why == "it needs about 6.0 GiB of memory, and 4.0 are free"
