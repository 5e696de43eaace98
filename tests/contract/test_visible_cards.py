"""Which cards CUDA_VISIBLE_DEVICES leaves."""

import pytest

from contract.stacks import visible_cards

IDS = ["GPU-aaaa-1", "GPU-aabb-2", "GPU-cccc-3"]


@pytest.mark.parametrize(
    ("chosen", "left"),
    [
        (None, [0, 1, 2]),
        ("", []),
        ("-1", []),
        ("1", [1]),
        ("2,0", [2, 0]),
        (" 0 , 2", [0, 2]),
        ("0,7,1", [0]),  # CUDA stops at the first that it does not know
        ("GPU-cc", [2]),
        ("GPU-aa", []),  # two cards begin so
        ("GPU-aabb-2,0", [1, 0]),
        ("MIG-dddd", [0, 1, 2]),
    ],
)
def test_cards_are_counted_as_cuda_counts_them(chosen: str | None, left: list[int]) -> None:
    assert visible_cards(IDS, chosen) == left
