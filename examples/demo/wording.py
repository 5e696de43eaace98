"""How the puzzles read: what every language must be able to say, and Chinese."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Protocol


class Wording(Protocol):
    """One scenario's words. `file` begins the ids of a file's problems; `passed` holds the words
    for "passes" and "does not".
    """

    file: str
    names: Sequence[str]
    colours: Sequence[str]
    places: Sequence[str]
    passed: tuple[str, str]
    reversing: str
    dropping: str

    def rides(self, rides: Sequence[tuple[str, str]], goes: Sequence[tuple[str, str]]) -> str: ...
    def where(self, person: str) -> str: ...
    def two_hops(self, person: str, colour: str, place: str) -> str: ...

    def scores(self, mark: int, scores: Sequence[tuple[str, int]]) -> str: ...
    def how_many_pass(self) -> str: ...
    def counted_score(self, person: str, score: int, passes: bool, count: int) -> str: ...
    def does_pass(self, person: str) -> str: ...
    def judged_score(self, person: str, score: int, mark: int, passes: bool) -> str: ...

    def ranking(self, pairs: Sequence[tuple[str, str]]) -> str:
        """Each pair's first person is above its second."""

    def who_is(self, place: int) -> str:
        """Places count from 0, the highest."""

    def ranked(self, names: Sequence[str]) -> str: ...

    def numbers(self, numbers: Sequence[str]) -> str: ...
    def how_many_numbers(self, odd: bool) -> str: ...
    def counted_number(self, number: str, odd: bool, count: int) -> str: ...

    def walk(self, who: str, fields: Sequence[int]) -> str: ...
    def where_after(self, who: str, count: int) -> str: ...
    def moved(self, at: int, to: int) -> str: ...

    def row(self, row: Sequence[str]) -> str: ...
    def adding(self, extra: str) -> str: ...
    def which_element(self, operation: str, place: int) -> str: ...
    def element_steps(self, operation: str, result: Sequence[str], place: int) -> str: ...

    def joined(self, steps: Sequence[str]) -> str: ...
    def concluded(self, steps: str, value: str, label: str) -> str: ...


class Chinese:
    """As few characters as say it, for the demo's base: its examples have 65 to 100 tokens."""

    file = "demo"
    names: Sequence[str] = "甲乙丙丁戊己庚辛王李张刘陈杨赵周吴孙"
    colours: Sequence[str] = "红黄蓝绿白黑紫灰"
    places: Sequence[str] = "山河海湖城村园桥店校"
    passed = ("过", "没")
    reversing = "倒过来"
    dropping = "去掉第1个"

    def __init__(self, rng: random.Random) -> None:
        """It says everything in one way, so it draws nothing."""

    def rides(self, rides: Sequence[tuple[str, str]], goes: Sequence[tuple[str, str]]) -> str:
        first, second = ("、".join(one + other for one, other in pairs) for pairs in (rides, goes))
        return f"坐车：{first}。车去：{second}。"

    def where(self, person: str) -> str:
        return f"{person}去哪？"

    def two_hops(self, person: str, colour: str, place: str) -> str:
        return f"{person}{colour}，{colour}{place}"

    def scores(self, mark: int, scores: Sequence[tuple[str, int]]) -> str:
        return f"满{mark}分过。" + self.joined([f"{p}{s}分" for p, s in scores]) + "。"

    def how_many_pass(self) -> str:
        return "几人过？"

    def counted_score(self, person: str, score: int, passes: bool, count: int) -> str:
        return f"{person}{score}{self._verdict(passes)}{count}"

    def does_pass(self, person: str) -> str:
        return f"{person}过吗？"

    def judged_score(self, person: str, score: int, mark: int, passes: bool) -> str:
        return f"{person}{score}分，满{mark}{self._verdict(passes)}"

    def _verdict(self, passes: bool) -> str:
        return self.passed[0] if passes else self.passed[1]

    def ranking(self, pairs: Sequence[tuple[str, str]]) -> str:
        return self.joined([f"{high}比{low}高" for high, low in pairs]) + "。"

    def who_is(self, place: int) -> str:
        return f"第{place + 1}高是谁？"

    def ranked(self, names: Sequence[str]) -> str:
        return self.joined([f"第{i}{name}" for i, name in enumerate(names, start=1)])

    def numbers(self, numbers: Sequence[str]) -> str:
        return "数有" + "、".join(numbers) + "。"

    def how_many_numbers(self, odd: bool) -> str:
        return f"几个{'奇' if odd else '偶'}数？"

    def counted_number(self, number: str, odd: bool, count: int) -> str:
        return f"{number}{'奇' if odd else '偶'}{count}"

    def walk(self, who: str, fields: Sequence[int]) -> str:
        parts = [f"{who}在{fields[0]}号"]
        for word, at, to in zip("先再又", fields, fields[1:], strict=False):
            parts.append(word + self._move(at, to))
        return self.joined(parts) + "。"

    def where_after(self, who: str, count: int) -> str:
        return "最后在几号？" if count == 3 else f"第{count}步后在几号？"

    def moved(self, at: int, to: int) -> str:
        return f"{at}{self._move(at, to)}到{to}"

    def _move(self, at: int, to: int) -> str:
        return f"进{to - at}" if to > at else f"退{at - to}"

    def row(self, row: Sequence[str]) -> str:
        return "列表" + "、".join(row) + "。"

    def adding(self, extra: str) -> str:
        return f"前面加{extra}"

    def which_element(self, operation: str, place: int) -> str:
        return f"{operation}，第{place + 1}个是几？"

    def element_steps(self, operation: str, result: Sequence[str], place: int) -> str:
        read = [f"第{i}个{x}" for i, x in enumerate(result[: place + 1], start=1)]
        return self.joined([f"{operation}得{'、'.join(result)}", *read])

    def joined(self, steps: Sequence[str]) -> str:
        return "，".join(steps)

    def concluded(self, steps: str, value: str, label: str) -> str:
        return f"{steps}，结果是{value}，{value}是{label}。"
