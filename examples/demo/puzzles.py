"""Puzzles in the competition's JSONL, each question with an analysis that is right by construction.

Six families of different logic. A family draws a scenario and asks questions about it; the analysis
is written by the same code that computes the answer, so it cannot disagree with it. How a scenario
reads is a language's business (`wording.py`). Problems with the same text are drawn only once per
file, and a later file leaves out every text of the earlier ones.

    python puzzles.py train.jsonl:1600 validation.jsonl:60 problems.jsonl:140:plain
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

from wording import Chinese, Wording

DIGITS = "0123456789"
LABELS = "ABCDE"


@dataclass(frozen=True)
class Asked:
    """A question about a scenario: its text, the steps to its value, and values that are wrong."""

    text: str
    steps: str
    value: str
    wrong: tuple[str, ...]


@dataclass(frozen=True)
class Scenario:
    text: str
    asked: tuple[Asked, ...]


def two_hop(rng: random.Random, words: Wording, more: int = 0) -> Scenario:
    """Who rides in which car, where each car goes: two look-ups lead from a person to a place."""
    n = rng.choice((3, 4)) + more
    pools = (words.names, words.colours, words.places)
    people, colours, places = (rng.sample(pool, n) for pool in pools)
    order = rng.sample(range(n), n)
    rides = list(zip(people, colours, strict=True))
    text = words.rides(rides, [(colours[i], places[i]) for i in order])
    asked = []
    for i in rng.sample(range(n), n):
        steps = words.two_hops(people[i], colours[i], places[i])
        asked.append(Asked(words.where(people[i]), steps, places[i], _others(places, i)))
    return Scenario(text, tuple(asked))


def threshold(rng: random.Random, words: Wording, more: int = 0) -> Scenario:
    """A pass mark and scores: does one person pass, and how many do."""
    n = rng.choice((3, 4)) + more
    mark = rng.choice((40, 50, 60, 70))
    people = rng.sample(words.names, n)
    scores = [rng.randrange(20, 100) for _ in people]
    text = words.scores(mark, list(zip(people, scores, strict=True)))
    steps, passed = [], 0
    for person, score in zip(people, scores, strict=True):
        passed += score >= mark
        steps.append(words.counted_score(person, score, score >= mark, passed))
    count = Asked(
        words.how_many_pass(), words.joined(steps), str(passed), _others(DIGITS[:6], passed)
    )
    asked = [count]
    for i in rng.sample(range(n), n):
        value, wrong = words.passed if scores[i] >= mark else words.passed[::-1]
        judged = words.judged_score(people[i], scores[i], mark, scores[i] >= mark)
        asked.append(Asked(words.does_pass(people[i]), judged, value, (wrong,)))
    rng.shuffle(asked)
    return Scenario(text, tuple(asked))


def order(rng: random.Random, words: Wording, more: int = 0) -> Scenario:
    """Neighbours in a ranking, shuffled: rebuild the whole order and read one place of it."""
    n = rng.choice((3, 4)) + more
    ranked = rng.sample(words.names, n)
    text = words.ranking(rng.sample(list(pairwise(ranked)), n - 1))
    asked = []
    for place in rng.sample(range(n), n):
        steps = words.ranked(ranked[: place + 1])
        asked.append(Asked(words.who_is(place), steps, ranked[place], _others(ranked, place)))
    return Scenario(text, tuple(asked))


def parity(rng: random.Random, words: Wording, more: int = 0) -> Scenario:
    """Count the odd, or the even, numbers of a list with a running count."""
    numbers = [rng.choice(DIGITS) for _ in range(rng.choice((4, 5)) + more)]
    asked = []
    for wanted in rng.sample((1, 0), 2):
        steps, count = [], 0
        for number in numbers:
            odd = int(number) % 2
            count += odd == wanted
            steps.append(words.counted_number(number, bool(odd), count))
        question = words.how_many_numbers(bool(wanted))
        asked.append(Asked(question, words.joined(steps), str(count), _others(DIGITS[:7], count)))
    return Scenario(words.numbers(numbers), tuple(asked))


def moves(rng: random.Random, words: Wording, more: int = 0) -> Scenario:
    """Three moves along ten fields: where is the piece after the second, and after the third."""
    who, at = rng.choice(words.names), rng.randrange(10)
    start, steps, ends = at, [], []
    for _ in range(3):
        to = rng.choice([field for field in range(10) if field != at])
        steps.append(words.moved(at, to))
        ends.append(to)
        at = to
    asked = []
    for count in rng.sample((3, 2), 2):
        value = str(ends[count - 1])
        asked.append(
            Asked(
                words.where_after(who, count),
                words.joined(steps[:count]),
                value,
                _others(DIGITS, int(value)),
            )
        )
    return Scenario(words.walk(who, [start, *ends]), tuple(asked))


def lists(rng: random.Random, words: Wording, more: int = 0) -> Scenario:
    """Reverse a list, drop its head or append to it, and read one element of the result."""
    row = rng.sample(DIGITS, rng.choice((4, 5)) + more)
    extra = rng.choice([d for d in DIGITS if d not in row])
    operations = (
        (words.reversing, row[::-1]),
        (words.dropping, row[1:]),
        (words.adding(extra), [extra, *row]),
    )
    asked = []
    for operation, result in rng.sample(operations, 3):
        place = rng.randrange(min(4, len(result)))
        steps = words.element_steps(operation, result, place)
        wrong = _others(result, place)
        asked.append(Asked(words.which_element(operation, place), steps, result[place], wrong))
    return Scenario(words.row(row), tuple(asked))


class Family(Protocol):
    """Draws a scenario. With `more`, it has so many more people, numbers or elements; a walk always
    has three moves.
    """

    def __call__(self, rng: random.Random, words: Wording, more: int = 0) -> Scenario: ...


FAMILIES: dict[str, Family] = {
    "two_hop": two_hop,
    "threshold": threshold,
    "order": order,
    "parity": parity,
    "moves": moves,
    "lists": lists,
}


def _others(values: Sequence[str], i: int) -> tuple[str, ...]:
    return tuple(value for value in values if value != values[i])


def options_for(asked: Asked, rng: random.Random) -> tuple[list[str], str]:
    """Two to five options with the right one at a uniformly drawn place, and that place's label."""
    count = min(rng.choice((2, 3, 4, 4, 5)), len(asked.wrong) + 1)
    options = rng.sample(asked.wrong, count - 1)
    place = rng.randrange(count)
    options.insert(place, asked.value)
    return options, LABELS[place]


def problems(
    count: int,
    rng: random.Random,
    seen: set[str],
    language: Callable[[random.Random], Wording] = Chinese,
    harder: float = 0.0,
) -> Iterator[dict[str, Any]]:
    """`count` problems, the families in turn, whose texts are not in `seen`.

    Their texts are added to it. `harder` is the chance that a problem is one size larger than any
    that the demo's files have.
    """
    families = list(FAMILIES.items())
    made = 0
    while made < count:
        family, draw = families[made % len(families)]
        words = language(rng)
        more = int(harder > 0 and rng.random() < harder)
        scenario = draw(rng, words, more)
        if scenario.text in seen:
            continue
        seen.add(scenario.text)
        questions = []
        for asked in scenario.asked[: rng.randint(1, 4)]:
            options, label = options_for(asked, rng)
            analysis = words.concluded(asked.steps, asked.value, label)
            questions.append(
                {"question": asked.text, "options": options, "answer": label, "analysis": analysis}
            )
        name = f"{words.file}_{family}_{made:05d}"
        yield {"id": name, "problem": scenario.text, "questions": questions}
        made += 1


def main(language: Callable[[random.Random], Wording] = Chinese) -> None:
    parser = argparse.ArgumentParser(description="Write puzzle files that share no problem text.")
    parser.add_argument(
        "files",
        nargs="+",
        metavar="PATH:COUNT[:plain]",
        help="a JSONL file to write, its number of problems, and `plain` to leave out the analyses",
    )
    parser.add_argument("--seed", type=int, default=7)
    arguments = parser.parse_args()
    seen: set[str] = set()
    for number, spec in enumerate(arguments.files):
        path, count, *plain = spec.split(":")
        rng = random.Random(f"{arguments.seed}/{number}")
        rows = list(problems(int(count), rng, seen, language))
        questions = [question for row in rows for question in row["questions"]]
        for question in questions if plain else ():
            del question["analysis"]
        lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
        Path(path).write_text("".join(lines), encoding="utf-8")
        print(f"{path}: {len(rows)} problems, {len(questions)} questions")


if __name__ == "__main__":
    main()
