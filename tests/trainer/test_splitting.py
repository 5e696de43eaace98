"""Near-duplicates found exactly, and never on both sides."""

import random

import pytest

from trainer.data.splitting import groups, held_out, near_duplicates

LONG = "有一个程序，它读入一列整数，按从小到大的顺序排好，然后输出其中位于正中间的那一个数。"


def jaccard(one: str, other: str) -> float:
    a, b = ({text[i : i + 5] for i in range(len(text) - 4)} for text in (one, other))
    return len(a & b) / len(a | b)


def test_near_duplicate_pairs_match_the_definition() -> None:
    rng = random.Random(0)
    texts = ["".join(rng.choice("甲乙丙") for _ in range(12)) for _ in range(60)]
    expected = [
        (i, j) for i in range(60) for j in range(i + 1, 60) if jaccard(texts[i], texts[j]) >= 0.3
    ]
    assert near_duplicates(texts, 0.3) == expected
    assert expected


def test_width_case_and_white_space_do_not_distinguish_texts() -> None:
    assert near_duplicates(["ABC，甲乙 丙", "ａｂｃ, 甲乙丙\n"], 1.0) == [(0, 1)]


def test_one_changed_word_is_near_but_another_problem_is_not() -> None:
    assert groups([LONG, LONG.replace("整数", "小数"), LONG[::-1]], 0.6) == [0, 0, 1]


def test_nearness_is_transitive_in_groups() -> None:
    chain = [LONG, LONG[3:] + "完毕。", LONG[6:] + "完毕。好的。"]
    assert not near_duplicates([chain[0], chain[2]], 0.8)
    assert len(set(groups(chain, 0.8))) == 1


def test_two_lists_are_compared_only_with_each_other() -> None:
    assert near_duplicates([LONG, "另一题"], 0.8, ["无关的题目", LONG]) == [(0, 1)]


@pytest.mark.parametrize("seed", range(10))
def test_whole_groups_are_held_out_up_to_the_share(seed: int) -> None:
    group_of = [i // 3 for i in range(90)]
    chosen = held_out(group_of, 0.1, seed)
    assert len(chosen) == 9
    assert all((i in chosen) == (i // 3 * 3 in chosen) for i in range(90))
    assert held_out(group_of, 0.1, seed) == chosen


def test_a_group_too_large_for_the_share_stays_in_training() -> None:
    assert held_out([0] * 50 + [1, 2, 3], 0.05, 0) <= {50, 51, 52}


def test_of_two_groups_one_is_held_out() -> None:
    assert len(held_out([0, 1], 0.05, 0)) == 1
    assert held_out([0, 0], 0.5, 0) == set()
    assert held_out([0, 1], 0.0, 0) == set()
