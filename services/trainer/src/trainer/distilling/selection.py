"""Worked analyses from a teacher's samples, kept where they reach the key.

Rejection sampling (RFT, Yuan et al. 2023): of k replies to a question, the right ones are kept. A
question without a right reply can be asked again with its key as a hint (STaR, Zelikman et al.
2022, section 3.2).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from contract import PromptFormat, Sentence, extract_label, split_reasoning
from trainer.data.analyses import analysis_in
from trainer.data.examples import Example
from trainer.data.splitting import normalized
from trainer.distilling.journal import Drawn, question_key

# an analysis that relies on the hint teaches nothing
_MENTIONS_HINT = re.compile(
    r"提示|事先|已知答案|给出的(?:正确)?(?:答案|选项)|\bhint", re.IGNORECASE
)
_NGRAM = 3  # characters


@dataclass
class Yield:
    """Counts of one question's samples. `failed`: the teacher's error message, if it failed."""

    source: str
    label: str
    asked: int = 0
    right: int = 0
    hinted: int = 0
    hinted_right: int = 0
    kept: int = 0
    failed: str = ""


def analysis_of(drawn: Drawn, example: Example, fmt: PromptFormat) -> str | None:
    """The analysis in a sample, without the answer line. None if the sample is wrong or cut off,
    has no analysis, or mentions the hint.
    """
    _, text = split_reasoning(drawn.text)
    if text is None or drawn.finish_reason != "stop":
        return None
    options, patterns = example.question.options, fmt.label_patterns
    if extract_label(text, options, patterns) != example.label:
        return None
    analysis = analysis_in(text.strip(), example.label, options, patterns)
    if analysis and drawn.hinted and _MENTIONS_HINT.search(analysis):
        return None
    return analysis


def most_different(analyses: Sequence[str], count: int) -> list[int]:
    """Places of up to `count` different `analyses`. The first is the most typical one; each further
    one is as far as possible from those before it (farthest-first traversal, Gonzalez 1985).

    Distance is 1 - Jaccard similarity over three-character shingles.
    """
    shingles = [_shingles(analysis) for analysis in analyses]
    distance = [[_apart(a, b) for b in shingles] for a in shingles]
    if not analyses or count < 1:
        return []
    chosen = [min(range(len(analyses)), key=lambda i: sum(distance[i]))]
    while len(chosen) < count:
        nearest = [min(distance[i][j] for j in chosen) for i in range(len(analyses))]
        farthest = max(range(len(analyses)), key=nearest.__getitem__)
        if nearest[farthest] == 0:
            break
        chosen.append(farthest)
    return chosen


def select(
    examples: Sequence[Example], drawn: Sequence[Drawn], fmt: PromptFormat, keep: int
) -> tuple[list[Example], list[Yield]]:
    """The examples with their analyses, up to `keep` a question, and every question's yield."""
    by_key: dict[str, list[Drawn]] = {}
    for one in drawn:
        by_key.setdefault(one.key, []).append(one)
    taught, yields = [], []
    for example in {question_key(example): example for example in examples}.values():
        samples = sorted(by_key.get(question_key(example), []), key=lambda d: (d.hinted, d.sample))
        found = Yield(example.source, example.label)
        right: list[str] = []
        for one in samples:
            analysis = analysis_of(one, example, fmt)
            found.hinted += one.hinted
            found.asked += not one.hinted
            found.hinted_right += one.hinted and analysis is not None
            found.right += not one.hinted and analysis is not None
            if analysis:
                right.append(analysis)
        for number, place in enumerate(most_different(right, keep), start=1):
            question = replace(example.question, analysis=right[place])
            source = Sentence(
                "analysis-of", "{source}, analysis {number}", source=example.source, number=number
            )
            taught.append(replace(example, question=question, source=source))
            found.kept += 1
        yields.append(found)
    return taught, yields


def never_right(
    examples: Sequence[Example], yields: Sequence[Yield], failed: Collection[str]
) -> list[Example]:
    """The examples that no sample got right, without those whose question key is in `failed`."""
    missed = {found.source for found in yields if not found.right}
    examples = [example for example in examples if question_key(example) not in failed]
    return [example for example in examples if example.source in missed]


def _shingles(text: str) -> frozenset[str]:
    bare = normalized(text)
    return frozenset(bare[i : i + _NGRAM] for i in range(max(1, len(bare) - _NGRAM + 1)))


def _apart(one: frozenset[str], other: frozenset[str]) -> float:
    return 1 - len(one & other) / len(one | other)
