"""The demo's puzzles in English, in varied sentences, for a model that reads English.

PYTHONPATH=../demo python english.py train.jsonl:1200 validation.jsonl:60 problems.jsonl:140:plain
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import pairwise

from puzzles import main

NAMES = """Alice Anna Ben Carl Clara David Diana Emma Eric Fiona Frank George Grace Hannah Harry
Helen Henry Jack James Jane John Julia Kate Laura Leo Linda Lucy Maria Mark Mary Max Mia
Nora Oliver Oscar Paul Peter Rachel Robert Rosa Sam Sarah Simon Sophie Thomas Tim Victor"""
COLOURS = "red blue green yellow white black grey orange purple brown pink silver"
PLACES = """beach airport museum library station market park zoo school theatre castle lake
hospital forest harbour stadium"""
ORDINALS = ("first", "second", "third", "fourth", "fifth")
RIDES = ("rides in", "sits in", "travels in")
GOES = ("goes to", "drives to", "is on its way to")
WHERE = ("Where does {} go?", "Where does {} end up?", "Which place does {} reach?")
EXAMS = (
    ("To pass the exam, one needs at least {} points.", "scored {} points"),
    ("The test is passed with {} points or more.", "got {} points"),
    ("Whoever has {} points or more passes.", "has {} points"),
)
HOW_MANY_PASS = ("How many of them pass?", "How many people pass?", "What is the number who pass?")
DOES_PASS = ("Does {} pass?", "Is {} among those who pass?", "Has {} passed?")
RANKS = (
    ("is taller than", "tallest"),
    ("is older than", "oldest"),
    ("is faster than", "fastest"),
    ("is stronger than", "strongest"),
    ("is richer than", "richest"),
)
NUMBERS = ("The numbers are {}.", "Here are some numbers: {}.", "Someone wrote down {}.")
HOW_MANY = ("How many of them are {}?", "How many {} numbers are there?")
WALKS = (
    ("{} starts on square {}", "moves forward {}", "moves back {}", "square"),
    ("{} stands on step {}", "goes up {}", "goes down {}", "step"),
    ("{} takes the lift from floor {}", "rides up {}", "rides down {}", "floor"),
)
ROWS = ("The list is {}.", "A list holds {}.", "These digits stand in a row: {}.")


class English:
    """One scenario's words: its sentences are drawn once, and its questions one by one."""

    file = "real"
    names: Sequence[str] = NAMES.split()
    colours: Sequence[str] = COLOURS.split()
    places: Sequence[str] = [f"the {place}" for place in PLACES.split()]
    passed = ("yes", "no")
    reversing = "reversed"
    dropping = "without its first element"

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._above, self._superlative = rng.choice(RANKS)
        self._stands, self._up, self._down, self._field = rng.choice(WALKS)

    def rides(self, rides: Sequence[tuple[str, str]], goes: Sequence[tuple[str, str]]) -> str:
        rides_in, goes_to = self._rng.choice(RIDES), self._rng.choice(GOES)
        sentences = [f"{person} {rides_in} the {colour} car." for person, colour in rides]
        return " ".join([*sentences, *(f"The {c} car {goes_to} {place}." for c, place in goes)])

    def where(self, person: str) -> str:
        return self._rng.choice(WHERE).format(person)

    def two_hops(self, person: str, colour: str, place: str) -> str:
        return f"{person} is in the {colour} car. The {colour} car goes to {place}."

    def scores(self, mark: int, scores: Sequence[tuple[str, int]]) -> str:
        rule, scored = self._rng.choice(EXAMS)
        sentences = [f"{person} {scored.format(score)}." for person, score in scores]
        return " ".join([rule.format(mark), *sentences])

    def how_many_pass(self) -> str:
        return self._rng.choice(HOW_MANY_PASS)

    def counted_score(self, person: str, score: int, passes: bool, count: int) -> str:
        return f"{person} {score}: {self._verdict(passes)}, {count} so far."

    def does_pass(self, person: str) -> str:
        return self._rng.choice(DOES_PASS).format(person)

    def judged_score(self, person: str, score: int, mark: int, passes: bool) -> str:
        compared = "at least" if passes else "less than"
        return f"{person} has {score}. {score} is {compared} {mark}: {self._verdict(passes)}."

    def _verdict(self, passes: bool) -> str:
        return self.passed[0] if passes else self.passed[1]

    def ranking(self, pairs: Sequence[tuple[str, str]]) -> str:
        return " ".join(f"{high} {self._above} {low}." for high, low in pairs)

    def who_is(self, place: int) -> str:
        return f"Who is the {ORDINALS[place] + ' ' if place else ''}{self._superlative}?"

    def ranked(self, names: Sequence[str]) -> str:
        return self.joined([f"{ORDINALS[i].capitalize()}: {n}." for i, n in enumerate(names)])

    def numbers(self, numbers: Sequence[str]) -> str:
        return self._rng.choice(NUMBERS).format(_listed(numbers))

    def how_many_numbers(self, odd: bool) -> str:
        return self._rng.choice(HOW_MANY).format("odd" if odd else "even")

    def counted_number(self, number: str, odd: bool, count: int) -> str:
        return f"{number} is {'odd' if odd else 'even'}: {count} so far."

    def walk(self, who: str, fields: Sequence[int]) -> str:
        first, second, third = (
            (self._up if to > at else self._down).format(abs(to - at))
            for at, to in pairwise(fields)
        )
        start = self._stands.format(who, fields[0])
        return f"{start}, {first}, then {second}, and then {third}."

    def where_after(self, who: str, count: int) -> str:
        when = "at the end" if count == 3 else f"after the {ORDINALS[count - 1]} move"
        return f"On which {self._field} is {who} {when}?"

    def moved(self, at: int, to: int) -> str:
        return f"{at} {'+' if to > at else '-'} {abs(to - at)} = {to}."

    def row(self, row: Sequence[str]) -> str:
        return self._rng.choice(ROWS).format(_listed(row))

    def adding(self, extra: str) -> str:
        return f"with {extra} put in front"

    def which_element(self, operation: str, place: int) -> str:
        return f"What is the {ORDINALS[place]} element of the list {operation}?"

    def element_steps(self, operation: str, result: Sequence[str], place: int) -> str:
        read = [f"{ORDINALS[i].capitalize()}: {x}." for i, x in enumerate(result[: place + 1])]
        return self.joined([f"The list {operation} is {', '.join(result)}.", *read])

    def joined(self, steps: Sequence[str]) -> str:
        return " ".join(steps)

    def concluded(self, steps: str, value: str, label: str) -> str:
        return f"{steps} The result is {value}. {value[0].upper()}{value[1:]} is option {label}."


def _listed(values: Sequence[str]) -> str:
    return f"{', '.join(values[:-1])} and {values[-1]}"


if __name__ == "__main__":
    main(English)
