"""The rows of a step, and their packs."""

import random
from collections import Counter

import pytest

from trainer.data.packing import Order, pack, steps_of


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("devices", [1, 2, 3])
def test_every_row_is_in_one_pack_and_no_pack_overflows(seed: int, devices: int) -> None:
    rng = random.Random(seed)
    lengths = [rng.randint(1, 100) for _ in range(rng.randint(1, 40))]
    packs = pack(lengths, 100, devices)
    assert sorted(place for places in packs for place in places) == list(range(len(lengths)))
    assert max(sum(lengths[i] for i in places) for places in packs) <= 100
    assert len(packs) % devices == 0


def test_packs_are_as_equal_as_their_rows_allow() -> None:
    filled = [sum((5, 5, 4, 4, 3, 3)[i] for i in places) for places in pack([5, 5, 4, 4, 3, 3], 13)]
    assert filled == [12, 12]


def test_a_row_longer_than_a_pack_is_an_error() -> None:
    with pytest.raises(ValueError, match="a row of 11 tokens does not fit a pack of 10"):
        pack([3, 11], 10)


def test_an_epoch_draws_every_row_as_often_as_its_weight_says() -> None:
    order = Order([1.0] * 10 + [2.0] * 5 + [0.5] * 8, seed=1)
    assert order.rows_an_epoch == 24
    for epoch in range(3):
        drawn = Counter(order.rows(24 * epoch, 24 * (epoch + 1)))
        assert all(drawn[i] == 1 for i in range(10))
        assert all(drawn[i] == 2 for i in range(10, 15))
        assert sum(drawn[i] for i in range(15, 23)) == 4
        assert all(drawn[i] <= 1 for i in range(15, 23))


def test_epochs_differ_in_order_and_can_be_read_at_any_place() -> None:
    order, again = Order([1.0] * 20, seed=1), Order([1.0] * 20, seed=1)
    whole = order.rows(0, 60)
    assert whole[:20] != whole[20:40]
    assert [again.rows(i, i + 1)[0] for i in reversed(range(60))] == whole[::-1]
    assert Order([1.0] * 20, seed=2).rows(0, 20) != whole[:20]


def test_steps_cover_the_epochs_and_stop_at_the_limit() -> None:
    assert steps_of(100, 16, 1) == 7
    assert steps_of(100, 16, 2.5) == 16
    assert steps_of(100, 16, 1, max_steps=3) == 3
    assert steps_of(1, 16, 0.1) == 1
