"""Options in another order: label, analysis and meaning stay together."""

import random
from collections import Counter

import pytest

from contract import Problem, Question
from trainer.data.examples import Example
from trainer.data.permuting import balanced_copies, can_permute, permuted

OPTIONS = ("红", "绿", "蓝", "黄")


def example(
    analysis: str | None = None,
    label: str = "B",
    options: tuple[str, ...] = OPTIONS,
    question: str = "什么颜色？",
    problem: str = "一个盒子。",
) -> Example:
    asked = Question(question, options, label, analysis)
    return Example(Problem("p", problem, (asked,), {}), asked, label, "here")


def test_label_and_letters_move_with_their_options() -> None:
    moved = permuted(example("A项不对，选项Ｂ对，(C)和D.都不对，所以选B。"), (2, 0, 1, 3))
    assert moved.question.options == ("蓝", "红", "绿", "黄")
    assert moved.label == moved.question.answer == "C"
    assert moved.question.analysis == "B项不对，选项C对，(A)和D.都不对，所以选C。"
    assert moved.problem.questions == (moved.question,)


@pytest.mark.parametrize("seed", range(20))
def test_reversing_a_permutation_restores_the_example(seed: int) -> None:
    before = example("先看A，再看B、C，D最后。答案在B。")
    order = random.Random(seed).sample(range(4), 4)
    inverse = sorted(range(4), key=order.__getitem__)
    after = permuted(permuted(before, order), inverse)
    assert (after.question, after.label) == (before.question, before.label)
    moved = permuted(before, order)
    key_before = before.question.options["ABCD".index(before.label)]
    assert moved.question.options["ABCD".index(moved.label)] == key_before


@pytest.mark.parametrize(
    "spoiled",
    [
        example(options=("红", "绿", "以上都不对", "黄")),
        example(options=("红", "绿", "both of them", "黄")),
        example(options=("红", "红", "蓝", "黄")),
        example(options=("只有A对", "绿", "蓝", "黄")),
        example("第二个选项是对的。"),
        example("应选最后一个选项。"),
        example("X 等于 3，所以选B。"),
        example(problem="A 比 B 高。"),
        example(question="B 在哪里？"),
        example(options=("红",), label="A"),
        example("选项b对。"),
        example("前两个选项都不对。"),
    ],
)
def test_a_question_that_another_order_would_spoil_is_unchanged(spoiled: Example) -> None:
    assert not can_permute(spoiled)
    assert balanced_copies([spoiled], 3, seed=0) == []


def test_an_english_article_is_not_moved_as_a_letter() -> None:
    before = example("A red box holds it. A is wrong, so B.")
    assert permuted(before, (1, 0, 2, 3)).question.analysis == (
        "A red box holds it. B is wrong, so A."
    )


@pytest.mark.parametrize("text", ["第1步：A1 大于 B-2。", "DNA 和 ABC 公司。", "绿的。"])
def test_letters_inside_words_and_names_are_no_labels(text: str) -> None:
    assert can_permute(example(text))
    assert permuted(example(text), (1, 0, 2, 3)).question.analysis == text


def test_permuted_copies_balance_the_keys() -> None:
    before = [example(label="B") for _ in range(60)] + [example(label="A") for _ in range(40)]
    copies = balanced_copies(before, 3, seed=0)
    keys = Counter(e.label for e in [*before, *copies])
    assert len(copies) == 300
    assert max(keys.values()) - min(keys.values()) <= 4


def test_no_permutation_is_made_twice() -> None:
    copies = balanced_copies([example(options=("是", "否"))], 8, seed=0)
    assert [copy.question.options for copy in copies] == [("否", "是")]
    orders = [copy.question.options for copy in balanced_copies([example()], 8, seed=0)]
    assert len(set(orders)) == len(orders) == 8
    assert OPTIONS not in orders
