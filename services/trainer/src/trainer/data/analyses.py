"""The analysis of a worked reply: the whole sentences that lead to its answer line.

A trained reply is the analysis and then the format's own answer line, once. So this module takes
out the reply's own answer line, the text behind it, and the words that announce it
("因此，正确答案是："). If that cuts a sentence short, the sentence gets a full stop.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from contract import extract_label, split_reasoning

# marks before an answer that has a line of its own: bold, a heading, a quotation, a bracket
_MARKS = " \t*_#>`-–—·•[【(（「“\"'"
_CONNECTIVE = re.compile(
    r"(?:\A|(?<=[\s，,；;。！？!?)）]))(?:因此|所以|因而|故而?|故此|于是|那么|则|即|由此|据此|从而|综上所述|综上|总之|"
    r"由此可[见知]|可见|尽管如此|最后|so|thus|hence|finally|therefore|in conclusion|in summary)"
    r"[，,:：。\s]*\Z",
    re.IGNORECASE,
)
# the same words without a pause before them, for an answer that has a line of its own
_JOINED = re.compile(r"(?:因此|所以|因而|故此|于是|那么|由此|据此|从而|由此可[见知])\Z")
# words of the answer line itself: 因此[正确]答案是, the [correct] answer is
_QUALIFIER = re.compile(
    r"(?:本题|此题|该题|这道?题|选择题\s*\d*|问题\s*\d*|第\s*\d+\s*题|我们?的|(?<![不是很都])正确|最终|最佳|唯一|"
    r"(?:我们?)?(?:可以?|应该?)?(?:认为|得出|得到|得|推出|给出|知|判断|确定|选择?)|"
    r"\b(?:the|my|our|final|correct|right|best))的?\s*\Z",
    re.IGNORECASE,
)
# a clause that gives the grounds of a conclusion, and says nothing without the conclusion
_ADVERBIAL = re.compile(
    r"(?:但是?|不过|然而|同时)?(?:根据|基于|按照?|依据|依照|结合|考虑到|鉴于|综合|通过|尽管如此|"
    r"but|however|based on|according to|given)",
    re.IGNORECASE,
)
_ON_ALL_OF_IT = re.compile(r"(?:分析|推理|推断|推导|信息|条件|规则|题意|描述|要求|结果|比较)\Z")
_HEADING = re.compile(
    r"(?:\A|\n)[\s*_#>【]*(?:(?:最终|正确|最后)?的?(?:答案|结论|回答|选择)|(?:final |the )*"
    r"(?:answer|conclusion))[\s*_#】]*[:：]?[\s*_]*\Z",
    re.IGNORECASE,
)
_CLAUSE = re.compile(r"(?:[，,；;。！？!?\n]|\.\s)(?=[^，,；;。！？!?\n]*\Z)")
_RULE = re.compile(r"(?:\A|\n)[ \t]*[-*_=#>]+[ \t]*\Z")


def analysis_in(
    reply: str, label: str, options: Sequence[str], patterns: Sequence[str]
) -> str | None:
    """The part of `reply` that leads to `label`; None if there is none, or if the last answer line
    names another label.

    Of the answer lines at the end that all name `label`, the first one ends the reply: after it
    come only doubts. If no text stands before it, the text after it is the analysis. Reasoning
    between tags is kept whole, before the analysis.
    """
    _, answer = split_reasoning(reply)
    if answer is None:
        return None
    found = _analysis_before(answer, label, options, patterns)
    reasoning = reply[: len(reply) - len(answer)].strip()
    if found is None or not reasoning:
        return found or None
    return f"{reasoning}\n{found.lstrip()}".rstrip()


def _analysis_before(
    reply: str, label: str, options: Sequence[str], patterns: Sequence[str]
) -> str | None:
    """`analysis_in` for a reply without reasoning; empty if the reply is only its answer line."""
    lines = _answer_lines(reply, options, patterns)
    settled = len(lines)
    while settled and lines[settled - 1][2] == label:
        settled -= 1
    if settled == len(lines):
        return None
    start, end, _ = lines[settled]
    if before := _in_whole_sentences(reply[:start]):
        return before
    if settled + 1 < len(lines):  # a further line repeats the answer
        return _in_whole_sentences(reply[end : lines[settled + 1][0]]).strip()
    return reply[end:].strip()


def _answer_lines(
    reply: str, options: Sequence[str], patterns: Sequence[str]
) -> list[tuple[int, int, str | None]]:
    """Each place where `reply` gives an answer: its start, the end of its line, and its label."""
    matches = {
        match.start(): match for pattern in patterns for match in re.finditer(pattern, reply)
    }
    starts = sorted(start for start, match in matches.items() if match[1].strip())
    found: list[tuple[int, int, str | None]] = []
    for start in starts:
        end = reply.find("\n", matches[start].start(1))
        end = len(reply) if end < 0 else end
        label = extract_label(reply[start:end], options, patterns)
        # an announcement matches too, with the label of the line that follows it
        if not (found and end <= found[-1][1]):
            found.append((start, end, label))
    return found


def _in_whole_sentences(text: str) -> str:
    """`text`, which stood before an answer, without the words that led over to the answer."""
    text, unfinished = _without_own_line(text)
    while True:
        shorter = _HEADING.sub("", _RULE.sub("", text)).rstrip()
        if shorter.endswith((":", "：")):
            shorter, unfinished = _without_clause(shorter), True
        elif led := _CONNECTIVE.search(shorter):
            shorter, unfinished = shorter[: led.start()].rstrip(), True
        elif _rests_on_nothing(shorter, unfinished=unfinished):
            shorter, unfinished = _without_clause(shorter.rstrip("，,")), True
        if shorter == text:
            break
        text = shorter
    if text.endswith(("，", ",", "；", ";")):
        return text[:-1] + ("." if text[-1].isascii() and text.isascii() else "。")
    if unfinished and text and (text[-1].isalnum() or text[-1] in "”’)）」"):
        return text + ("." if text.isascii() else "。")
    return text


def _without_own_line(text: str) -> tuple[str, bool]:
    """`text` without the words that open the answer line, and True if it ends within a line."""
    own = text.rpartition("\n")[2]
    if not own.strip(_MARKS):
        return text[: len(text) - len(own)].rstrip(), False
    bare = text.rstrip(" \t[【(（「“")
    for mark in ("**", "__", "`"):
        if own.count(mark) % 2:
            bare = bare.removesuffix(mark).rstrip()
    while words := _QUALIFIER.search(bare) or _JOINED.search(bare):
        bare = bare[: words.start()].rstrip()
    return bare, True


def _rests_on_nothing(text: str, *, unfinished: bool) -> bool:
    """True if the last clause gives only the grounds of the conclusion that stood behind it."""
    clause = _last_clause(text.rstrip("，,"))
    if not _ADVERBIAL.match(clause):
        return False
    return text.endswith(("，", ",")) or (unfinished and bool(_ON_ALL_OF_IT.search(clause)))


def _without_clause(text: str) -> str:
    found = _CLAUSE.search(text)
    return text[: found.end()].rstrip() if found else ""


def _last_clause(text: str) -> str:
    found = _CLAUSE.search(text)
    return text[found.end() :].strip() if found else text.strip()
