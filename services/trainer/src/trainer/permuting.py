"""The same question with its options in another order: another key, the same answer.

Letters in the analysis move with their options. Where a letter may mean anything but an option, or
an option speaks of its neighbours, the question is left as it is rather than spoiled.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from contract import Problem, Question
from trainer.data import Example

# a capital letter alone, also in full width, not part of a word or a name such as A1 or B-2
_LETTER = re.compile(r"(?<![A-Za-z0-9_Ａ-Ｚ\-])([A-ZＡ-Ｚ])(?![A-Za-z0-9_Ａ-Ｚ\-])")
_BY_PLACE = re.compile(
    r"以上|上述|以下|前述|前面|后面|前[一二两三四]|后[一二两三四]|都[对是不错]|均[对是不为错]|"
    r"\b(?:above|below|both|neither|former|latter|previous|following)\b",
    re.IGNORECASE,
)
_COUNTED = re.compile(
    r"(?:第\s*[一二三四五六七八九十\d]+|最后一?)\s*(?:个|项|条)?\s*(?:选项|答案|选择)|"
    r"\b(?:first|second|third|fourth|fifth|last) (?:option|choice|answer)",
    re.IGNORECASE,
)


def can_permute(example: Example) -> bool:
    """Whether another order of the options leaves the question and its analysis true."""
    question = example.question
    asked = " ".join((example.problem.text, question.text, *question.options))
    analysis = question.analysis or ""
    return (
        len(set(question.options)) == len(question.options) > 1
        and not any(_BY_PLACE.search(option) for option in question.options)
        and not _COUNTED.search(analysis + question.text)
        and not _labels_in(asked, question)
        and all(_label(letter) in question.labels for letter in _LETTER.findall(analysis))
    )


def permuted(example: Example, order: Sequence[int]) -> Example:
    """`example` with option `order[i]` at place i; `can_permute` must hold for it."""
    question = example.question
    label_of = {question.labels[old]: question.labels[new] for new, old in enumerate(order)}
    analysis = question.analysis and _LETTER.sub(
        lambda match: label_of[_label(match[1])], question.analysis
    )
    moved = Question(
        question.text,
        tuple(question.options[old] for old in order),
        label_of[example.label],
        analysis,
    )
    problem = Problem(example.problem.id, example.problem.text, (moved,), example.problem.row)
    source = f"{example.source}, options in the order {''.join(question.labels[i] for i in order)}"
    return replace(
        example, problem=problem, question=moved, label=label_of[example.label], source=source
    )


def balanced_copies(examples: Sequence[Example], copies: int, seed: int) -> list[Example]:
    """Up to `copies` further orders of each example that can have them, none twice.

    Each copy puts its key where keys are rarest so far among questions with as many options, so
    that no label stays likelier than another.
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
    """An order not in `seen` that puts the key at the rarest label; None where none is found."""
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


def _labels_in(text: str, question: Question) -> bool:
    return any(_label(letter) in question.labels for letter in _LETTER.findall(text))


def _label(letter: str) -> str:
    """The ASCII capital of a letter that may be full-width."""
    return chr(ord(letter) - 0xFEE0) if ord(letter) > 0x7F else letter
