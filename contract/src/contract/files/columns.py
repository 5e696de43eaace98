"""The names that files give to a question's parts, in English and Chinese, in any spelling:
"Question", "question_text", "题目"; and columns of options: A, B, ...; option_a; choice1; 选项A.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

from contract.options import LABELS

Names = frozenset[str]


def _names(text: str) -> Names:
    return frozenset(text.split())


QUESTION = _names(
    """
    question questiontext questionstem questioncontent ques q prompt input query stem
    题目 题干 题面 问题 试题 题目内容 试题内容 问题内容 问题描述 提问
    """
)
OPTIONS = _names(
    """
    options choices option choice optionlist choicelist candidates alternatives endings
    answerchoices answeroptions possibleanswers
    选项 备选项 候选项 备选答案 候选答案 选项列表 答案选项
    """
)
ANSWER = _names(
    """
    answer answers ans label target gold goldanswer goldlabel goldindex goldidx gt groundtruth
    key answeridx answerindex answerkey answerlabel answerletter answerid correct correctanswer
    correctanswers correctoption correctchoice correctindex correctidx correctlabel correctletter
    rightanswer cop 答案 正确答案 标准答案 参考答案 正确选项 标签 正解
    """
)
PROBLEM = _names(
    """
    context passage article text paragraph background scenario story problem ctx document premise
    材料 背景 文章 短文 阅读材料 背景材料 案例 情景 场景 段落 上下文 原文
    """
)
ID = _names(
    """
    id qid questionid recordid exampleid sampleid itemid uid uuid idx index no number
    编号 序号 题号 题目编号 题目id 试题编号
    """
)
ANALYSIS = _names(
    """
    analysis explanation rationale solution explain exp reasoning cot
    解析 分析 解释 解答 答案解析 题目解析 详解
    """
)
CORRECT = _names("correctanswer correct rightanswer bestanswer 正确答案")

_LONGEST_NAME = 80
_DROPPED = re.compile(r"[\W_]+")
_BEFORE_LETTERS = "|option|opt|op|choice|answer|ans|选项|候选|备选|选择|答案"
_LETTERED = re.compile(rf"(?P<family>{_BEFORE_LETTERS})(?P<mark>[a-z])(?P<tail>选项|项)?")
_NUMBERED = re.compile(
    r"(?P<family>option|opt|op|choice|answer|ans|ending|选项|候选|备选|候选答案)(?P<mark>\d{1,2})"
)
_INCORRECT = re.compile(
    r"(?P<family>incorrectanswer|wronganswer|distractor|incorrect|wrong|错误答案|干扰项)"
    r"(?P<mark>\d{1,2})"
)


class Named(NamedTuple):
    """Which columns could be which part of a question. Each list holds the names of columns; each
    of `families` holds the columns of one set of options, in order. `twins` are the columns that
    could be the same option as one of those: "a" beside "A".
    """

    question: list[str]
    options: list[str]
    families: list[list[str]]
    correct: list[str]
    incorrect: list[str]
    answer: list[str]
    problem: list[str]
    id: list[str]
    analysis: list[str]
    twins: list[str]

    @property
    def has_options(self) -> bool:
        return bool(self.options or self.families or (self.correct and self.incorrect))


def plain_name(name: str) -> str:
    return _DROPPED.sub("", unicodedata.normalize("NFKC", name).casefold())


def is_named(part: Names, name: str) -> bool:
    return plain_name(name) in part


def is_option_name(name: str) -> bool:
    """True for option_a, opt1, 选项A: a word with an option's letter or number; not for A alone."""
    plain = plain_name(name)
    match = _LETTERED.fullmatch(plain)
    is_lettered = match is not None and bool(match["family"] or match["tail"])
    return is_lettered or _NUMBERED.fullmatch(plain) is not None


def named(columns: Iterable[str]) -> Named:
    """Which columns could be which part. Without a column for the question, a text is one."""
    return _named(tuple(columns))


@lru_cache(maxsize=1024)  # most records of a file have the same columns
def _named(columns: tuple[str, ...]) -> Named:
    plain = {column: plain_name(column) for column in columns if len(column) <= _LONGEST_NAME}

    def those(part: Names) -> list[str]:
        return [column for column, name in plain.items() if name in part]

    question, problem = those(QUESTION), those(PROBLEM)
    lettered, numbered = _families(plain, _LETTERED), _families(plain, _NUMBERED)
    wrong = _families(plain, _INCORRECT, 1)
    incorrect = [column for family in wrong for column in family.columns]
    return Named(
        question=question or problem,
        options=those(OPTIONS),
        families=[family.columns for family in (*lettered, *numbered)],
        correct=those(CORRECT) if incorrect else [],
        incorrect=incorrect,
        answer=those(ANSWER),
        problem=problem if question else [],
        id=those(ID),
        analysis=those(ANALYSIS),
        twins=[twin for family in (*lettered, *numbered, *wrong) for twin in family.twins],
    )


class _Family(NamedTuple):
    columns: list[str]
    twins: list[str]


def _families(plain: dict[str, str], pattern: re.Pattern[str], fewest: int = 2) -> list[_Family]:
    """Columns that differ in their letter or number only: from A, 0 or 1 on without a gap."""
    found: dict[tuple[str, str], dict[int, list[str]]] = defaultdict(lambda: defaultdict(list))
    for column, name in plain.items():
        if (match := pattern.fullmatch(name)) and name not in QUESTION:
            groups = match.groupdict()
            mark = groups["mark"]
            place = int(mark) if mark.isdigit() else 1 + LABELS.index(mark.upper())
            found[groups["family"], groups.get("tail") or ""][place].append(column)
    return [
        _Family(
            [family[place][0] for place in sorted(family)],
            [twin for place in sorted(family) for twin in family[place][1:]],
        )
        for family in found.values()
        if len(family) >= fewest and _has_no_gap(sorted(family))
    ]


def _has_no_gap(places: Sequence[int]) -> bool:
    return places[0] in (0, 1) and places == [*range(places[0], places[0] + len(places))]
