"""The same question with its options in another order: another key, the same answer.

Letters in the analysis move with their options. A question stays as it is if one of its letters may
mean something else than an option, or if an option speaks of its neighbours (`contract.permuting`).
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from contract import Problem, Question, Sentence, options_may_move
from contract.permuting import LETTER, points_at_an_option
from trainer.data.examples import Example


def can_permute(example: Example) -> bool:
    """True if question and analysis stay true when the options change their order."""
    question = example.question
    analysis = question.analysis or ""
    return (
        len(set(question.options)) == len(question.options) > 1
        and options_may_move(example.problem.text, question)
        and not points_at_an_option(analysis, question)
        and all(_label(letter) in question.labels for letter in LETTER.findall(analysis))
    )


def permuted(example: Example, order: Sequence[int]) -> Example:
    """`example` with option `order[i]` at place i; only for examples that `can_permute`."""
    question = example.question
    label_of = {question.labels[old]: question.labels[new] for new, old in enumerate(order)}
    analysis = question.analysis and LETTER.sub(
        lambda match: label_of[_label(match[1])], question.analysis
    )
    moved = Question(
        question.text,
        tuple(question.options[old] for old in order),
        label_of[example.label],
        analysis,
    )
    problem = Problem(example.problem.id, example.problem.text, (moved,), example.problem.row)
    source = Sentence(
        "options-in-order",
        "{source}, options in the order {order}",
        source=example.source,
        order="".join(question.labels[i] for i in order),
    )
    return replace(
        example, problem=problem, question=moved, label=label_of[example.label], source=source
    )


def balanced_copies(examples: Sequence[Example], copies: int, seed: int) -> list[Example]:
    """Up to `copies` copies of each example that may be permuted, each in a different order.

    Each copy puts its key at the label that is the rarest key so far among questions with as many
    options. So no label stays likelier than another.
    """
    rng = random.Random(seed)
    keys: dict[int, Counter[str]] = {}
    for example in examples:
        keys.setdefault(len(example.question.options), Counter())[example.label] += 1
    added = []
    for example in examples:
        if not can_permute(example):
            continue
        count = len(example.question.options)
        seen = {tuple(range(count))}
        for _ in range(copies):
            order = _next_order(example, keys[count], seen, rng)
            if order is None:
                break
            seen.add(order)
            copy = permuted(example, order)
            keys[count][copy.label] += 1
            added.append(copy)
    return added


def _next_order(
    example: Example, keys: Counter[str], seen: set[tuple[int, ...]], rng: random.Random
) -> tuple[int, ...] | None:
    """An order that is not in `seen`, with the key at the rarest label; None if none is found."""
    labels = example.question.labels
    key = labels.index(example.label)
    rarest_first = sorted(range(len(labels)), key=lambda place: (keys[labels[place]], place))
    for place in rarest_first:
        for _ in range(8):
            others = [i for i in range(len(labels)) if i != key]
            rng.shuffle(others)
            order = (*others[:place], key, *others[place:])
            if order not in seen:
                return order
    return None


def _label(letter: str) -> str:
    """The ASCII capital of a letter that may be full-width."""
    return chr(ord(letter) - 0xFEE0) if ord(letter) > 0x7F else letter
