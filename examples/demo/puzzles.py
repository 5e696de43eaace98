"""Puzzles in Chinese, in the competition's JSONL, each question with an analysis that is right by
construction.

Six families of different logic. A family draws a scenario and asks questions about it; the analysis
is written by the same code that computes the answer, so it cannot disagree with it. Problems with
the same text are drawn only once per file, and a later file leaves out every text of the earlier
ones.

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
from typing import Any

NAMES = "甲乙丙丁戊己庚辛王李张刘陈杨赵周吴孙"
COLOURS = "红黄蓝绿白黑紫灰"
PLACES = "山河海湖城村园桥店校"
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


def two_hop(rng: random.Random) -> Scenario:
    """Who rides in which car, where each car goes: two look-ups lead from a person to a place."""
    n = rng.choice((3, 4))
    people, colours, places = (rng.sample(pool, n) for pool in (NAMES, COLOURS, PLACES))
    order = rng.sample(range(n), n)
    text = "坐车：" + "、".join(p + c for p, c in zip(people, colours, strict=True)) + "。"
    text += "车去：" + "、".join(colours[i] + places[i] for i in order) + "。"
    asked = []
    for i in rng.sample(range(n), n):
        steps = f"{people[i]}{colours[i]}，{colours[i]}{places[i]}"
        asked.append(Asked(f"{people[i]}去哪？", steps, places[i], _others(places, i)))
    return Scenario(text, tuple(asked))


def threshold(rng: random.Random) -> Scenario:
    """A pass mark and scores: does one person pass, and how many do."""
    n = rng.choice((3, 4))
    mark = rng.choice((40, 50, 60, 70))
    people = rng.sample(NAMES, n)
    scores = [rng.randrange(20, 100) for _ in people]
    text = (
        f"满{mark}分过。"
        + "，".join(f"{p}{s}分" for p, s in zip(people, scores, strict=True))
        + "。"
    )
    steps, passed = [], 0
    for person, score in zip(people, scores, strict=True):
        passed += score >= mark
        steps.append(f"{person}{score}{'过' if score >= mark else '没'}{passed}")
    asked = [Asked("几人过？", "，".join(steps), str(passed), _others(DIGITS[:6], passed))]
    for i in rng.sample(range(n), n):
        value, wrong = ("过", "没") if scores[i] >= mark else ("没", "过")
        asked.append(
            Asked(
                f"{people[i]}过吗？", f"{people[i]}{scores[i]}分，满{mark}{value}", value, (wrong,)
            )
        )
    rng.shuffle(asked)
    return Scenario(text, tuple(asked))


def order(rng: random.Random) -> Scenario:
    """Neighbours in a ranking, shuffled: rebuild the whole order and read one place of it."""
    n = rng.choice((3, 4))
    ranked = rng.sample(NAMES, n)
    pairs = [f"{high}比{low}高" for high, low in pairwise(ranked)]
    text = "，".join(rng.sample(pairs, n - 1)) + "。"
    asked = []
    for place in rng.sample(range(n), n):
        steps = "，".join(f"第{i + 1}{name}" for i, name in enumerate(ranked[: place + 1]))
        asked.append(Asked(f"第{place + 1}高是谁？", steps, ranked[place], _others(ranked, place)))
    return Scenario(text, tuple(asked))


def parity(rng: random.Random) -> Scenario:
    """Count the odd, or the even, numbers of a list with a running count."""
    numbers = [rng.choice(DIGITS) for _ in range(rng.choice((4, 5)))]
    text = "数有" + "、".join(numbers) + "。"
    asked = []
    for kind, remainder in rng.sample((("奇", 1), ("偶", 0)), 2):
        steps, count = [], 0
        for number in numbers:
            odd = int(number) % 2
            count += odd == remainder
            steps.append(f"{number}{'奇' if odd else '偶'}{count}")
        asked.append(
            Asked(f"几个{kind}数？", "，".join(steps), str(count), _others(DIGITS[:7], count))
        )
    return Scenario(text, tuple(asked))


def moves(rng: random.Random) -> Scenario:
    """Three moves along ten fields: where is the piece after the second, and after the third."""
    who, at = rng.choice(NAMES), rng.randrange(10)
    text, steps, ends = [f"{who}在{at}号"], [], []
    for word in ("先", "再", "又"):
        to = rng.choice([field for field in range(10) if field != at])
        move = f"进{to - at}" if to > at else f"退{at - to}"
        text.append(f"{word}{move}")
        steps.append(f"{at}{move}到{to}")
        ends.append(to)
        at = to
    asked = []
    for count, question in rng.sample(((3, "最后在几号？"), (2, "第2步后在几号？")), 2):
        value = str(ends[count - 1])
        asked.append(Asked(question, "，".join(steps[:count]), value, _others(DIGITS, int(value))))
    return Scenario("，".join(text) + "。", tuple(asked))


def lists(rng: random.Random) -> Scenario:
    """Reverse a list, drop its head or append to it, and read one element of the result."""
    row = rng.sample(DIGITS, rng.choice((4, 5)))
    extra = rng.choice([d for d in DIGITS if d not in row])
    operations = (("倒过来", row[::-1]), ("去掉第1个", row[1:]), (f"前面加{extra}", [extra, *row]))
    asked = []
    for name, result in rng.sample(operations, 3):
        place = rng.randrange(min(4, len(result)))
        steps = (
            name
            + "得"
            + "、".join(result)
            + "，"
            + "，".join(f"第{i + 1}个{x}" for i, x in enumerate(result[: place + 1]))
        )
        wrong = _others(result, place)
        asked.append(Asked(f"{name}，第{place + 1}个是几？", steps, result[place], wrong))
    return Scenario("列表" + "、".join(row) + "。", tuple(asked))


FAMILIES: dict[str, Callable[[random.Random], Scenario]] = {
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


def problems(count: int, rng: random.Random, seen: set[str]) -> Iterator[dict[str, Any]]:
    """`count` problems, the families in turn, whose texts are not in `seen`.

    Their texts are added to it.
    """
    families = list(FAMILIES.items())
    made = 0
    while made < count:
        family, draw = families[made % len(families)]
        scenario = draw(rng)
        if scenario.text in seen:
            continue
        seen.add(scenario.text)
        questions = []
        for asked in scenario.asked[: rng.randint(1, 4)]:
            options, label = options_for(asked, rng)
            analysis = f"{asked.steps}，结果是{asked.value}，{asked.value}是{label}。"
            questions.append(
                {"question": asked.text, "options": options, "answer": label, "analysis": analysis}
            )
        yield {"id": f"demo_{family}_{made:05d}", "problem": scenario.text, "questions": questions}
        made += 1


def main() -> None:
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
        rows = list(problems(int(count), random.Random(f"{arguments.seed}/{number}"), seen))
        questions = [question for row in rows for question in row["questions"]]
        for question in questions if plain else ():
            del question["analysis"]
        lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
        Path(path).write_text("".join(lines), encoding="utf-8")
        print(f"{path}: {len(rows)} problems, {len(questions)} questions")


if __name__ == "__main__":
    main()
