"""The stack that local mode picks, on a table of hosts."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from orchestrator.cli.host_facts import Card, parse_cards, visible_gpus
from orchestrator.local.choice import UnservedHostError, choose_stack

V100, T4, A100, H100 = (
    ("Tesla V100-SXM2-32GB", (7, 0)),
    ("Tesla T4", (7, 5)),
    ("NVIDIA A100-SXM4-80GB", (8, 0)),
    ("NVIDIA H100 80GB HBM3", (9, 0)),
)
P100, NEWEST = ("Tesla P100-PCIE-16GB", (6, 0)), ("NVIDIA Next", (13, 0))
Cards = list[tuple[str, tuple[int, int]]]


@pytest.mark.parametrize(
    ("driver", "cards", "stack"),
    [
        (None, [], "cpu"),
        ("550.54.15", [], "cpu"),
        ("525.60.13", [A100], "cu12"),
        ("530.30.02", [H100] * 8, "cu12"),
        ("580.95.05", [H100], "cu12"),
        ("535.104.05", [V100], "volta"),
        ("535.104.05", [T4], "volta"),
        ("535.104.05", [V100, A100], "volta"),
        ("590.10", [NEWEST], "cu13"),
    ],
)
def test_the_stack_follows_driver_and_cards(driver: str | None, cards: Cards, stack: str) -> None:
    for cpu_will_do in (True, False):
        assert choose_stack("", driver, cards, cpu_will_do=cpu_will_do).stack == stack


@pytest.mark.parametrize(
    ("driver", "cards", "reason"),
    [
        ("470.82.01", [H100], "driver 470.82.01 is too old for STACK=cu12"),
        ("550.54.15", [P100], "no stack serves this card"),
        ("550.54.15", [P100, A100], "no stack serves this card"),
        ("550.54.15", [NEWEST], "no stack serves this card"),
    ],
)
def test_an_unserved_gpu_is_refused_except_for_the_demo(
    driver: str, cards: Cards, reason: str
) -> None:
    with pytest.raises(UnservedHostError, match=reason) as refusal:
        choose_stack("", driver, cards, cpu_will_do=False)
    assert str(refusal.value).endswith("set STACK=cpu")
    chosen = choose_stack("", driver, cards, cpu_will_do=True)
    assert chosen.stack == "cpu"
    assert reason in chosen.why


@pytest.mark.parametrize("stack", ["cpu", "cu12", "cu13"])
def test_a_stack_that_is_asked_for_is_taken(stack: str) -> None:
    assert choose_stack(stack, "580.95.05", [H100], cpu_will_do=False).stack == stack


@pytest.mark.parametrize(
    ("stack", "driver", "cards", "remedy"),
    [
        ("cu12", None, [], "nvidia-smi must list it"),
        ("cu13", "550.54.15", [H100], "set STACK=cu12"),
        ("cu12", "535.104.05", [V100], "set STACK=volta"),
        ("cuda", "550.54.15", [H100], "STACK=cuda is none of cpu, cu12, volta, cu13"),
    ],
)
def test_a_stack_that_cannot_run_here_is_refused(
    stack: str, driver: str | None, cards: Cards, remedy: str
) -> None:
    with pytest.raises(UnservedHostError, match=remedy):
        choose_stack(stack, driver, cards, cpu_will_do=True)


def test_a_gpu_whose_driver_is_silent_is_not_left_unused() -> None:
    with pytest.raises(UnservedHostError, match="nvidia-smi does not answer"):
        choose_stack("", None, [], cpu_will_do=False, device_is_there=True)
    for asked, demo in (("", True), ("cpu", False)):
        chosen = choose_stack(asked, None, [], cpu_will_do=demo, device_is_there=True)
        assert chosen.stack == "cpu"
    hidden = choose_stack("", "535.1", [], cpu_will_do=False, device_is_there=True)
    assert hidden.stack == "cpu"


def test_the_reason_names_the_cards() -> None:
    why = choose_stack("", "580.95.05", [H100, H100], cpu_will_do=False).why
    assert why == "it serves 2 x NVIDIA H100 80GB HBM3 with driver 580.95.05"


def test_a_driver_too_old_to_tell_the_capability_is_named() -> None:
    told = parse_cards("418.87, Tesla P4, 7611\n")
    assert told == ("418.87", (Card("Tesla P4", 7611 / 1024, (0, 0)),))


@pytest.mark.parametrize(
    ("rows", "cards"),
    [
        ("580.95, NVIDIA GB10, [N/A], 12.1\n", (Card("NVIDIA GB10", 0.0, (12, 1)),)),
        ("535.1, NVIDIA A10, 23028, [N/A]\n", (Card("NVIDIA A10", 23028 / 1024, (0, 0)),)),
        ("No devices were found\n", ()),
    ],
)
def test_what_nvidia_smi_does_not_tell_is_zero(rows: str, cards: tuple[Card, ...]) -> None:
    assert parse_cards(rows)[1] == cards


SMI = """#!/bin/sh
case "$*" in
*uuid*) printf 'GPU-11\\nGPU-22\\n' ;;
*) printf '535.1, Tesla K80, 11441, 3.7\\n535.1, NVIDIA A10, 23028, 8.6\\n' ;;
esac
"""


@pytest.mark.parametrize(
    ("chosen", "names"),
    [
        (None, ["Tesla K80", "NVIDIA A10"]),
        ("1", ["NVIDIA A10"]),
        ("GPU-22", ["NVIDIA A10"]),
        ("", []),
    ],
)
def test_hidden_cards_do_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chosen: str | None, names: list[str]
) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text(SMI)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if chosen is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", chosen)
    driver, cards = visible_gpus()
    assert driver == "535.1"
    assert [card.name for card in cards] == names
