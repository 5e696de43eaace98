"""Decides if a question keeps its meaning when its options are put in another order.

A question keeps its order if an option refers to others ("以上都不对", "A和B都对", "both of them"),
or if a text may refer to an option by its letter or place. Keeping the order costs some balance;
shuffling could leave the question without a right answer.
"""

from __future__ import annotations

import re
import unicodedata

from contract.problems import Question

# The English article at the start of a sentence: it is followed by a word that cannot follow a
# label.
_ARTICLE = (
    r"(?:\A|(?<=[.!?:;\"'“(\n])|(?<=[.!?:;] ))A (?!(?:and|or|nor|but|is|isn't|are|was|were|has|"
    r"have|had|can|cannot|may|might|must|will|would|should|does|did|do|only|alone|not|if|then|because|"
    r"when|while|as|to|in|on|at|for|from|with|than|over|both|either|before|after)\b)[a-z]"
)
# A capital letter alone, not part of a word or a name such as A1 or B-2.
LETTER = re.compile(rf"(?<![A-Za-z0-9_Ａ-Ｚ\-])(?!{_ARTICLE})([A-ZＡ-Ｚ])(?![A-Za-z0-9_Ａ-Ｚ\-])")
_NUMBER = r"[一二三四五六七八九十两\d]+"
_ORDINAL = r"(?:first|second|third|fourth|fifth|last)"
_OF_NEIGHBOURS = re.compile(
    rf"(?<![岁年月日天人名元级层倍%\d])以[上下]|上述|下述|[上下前][边面列]|前述|后面|前者|后者|[上下]一[个项条]|"
    rf"[同如见][上前](?!\w)|[前后头]{_NUMBER}[个项者条种]?|\A\W*(?:和?第{_NUMBER}[个项条种][和与、]?)+\W*\Z|"
    # "其他公司" does not refer to other options; "其他" and "其他都不对" do
    rf"其[他它余](?=选项|答案|各|{_NUMBER}|的?(?:[都均皆全不]|\W|\Z))|"
    r"[都均全皆](?:对|是|不|错|正确|选|为|非|有|可)|(?:全部|所有|任何|每)(?:个|一个|一项|的)?"
    r"(?:选项|答案|正确|错误|不)|全[对错]|[没无]有?(?:一个|一项)?(?:正确|选项|答案|对的)|二者|两者|"
    rf"(?:这|那)?{_NUMBER}[项者]都|"
    r"\b(?:above|below|both|neither|former|latter|previous|preceding|following)\b|"
    r"\b(?:none|all|any|each|either|some|one|two|more than one) of (?:these|those|them|the)\b|"
    r"\b(?:all|no|any|every|the other|another) (?:\w+ )?(?:options?|choices?|answers?)\b|"
    r"\b(?:all|none) (?:are|is) (?:\w+ )?(?:correct|true|right|wrong|false)\b|"
    rf"\bthe (?:{_ORDINAL}|other) (?:two|three|four|ones?|and)\b|"
    r"\A\W*(?:all|none|both|more than one)\W*\Z|"
    r"\b(?:the rest|the remaining|other (?:options?|choices?|answers?))\b|"
    r"\A\W*all (?:three|four|five|correct|true|wrong|false)\W*\Z",
    re.IGNORECASE,
)
_BY_PLACE = re.compile(
    rf"(?:第\s*{_NUMBER}|最后一?)\s*(?:个|项|条)?\s*(?:选项|答案|选择)|选项\s*(?:{_NUMBER}|[①-⑳])|"
    rf"[前后]{_NUMBER}?[个项条]?选项|"
    rf"\b{_ORDINAL} (?:(?:two|three|four) )?(?:option|choice|answer)s?\b|"
    r"\b(?:option|choice|answer)s? \(?\d|\b(?:option|choice) (?:one|two|three|four)\b",
    re.IGNORECASE,
)
# "AB" and "ACD" name several options.
_SEVERAL = re.compile(r"\W*(?=[A-Z]{2})(A?B?C?D?E?F?G?H?)\W*")
# A small letter means an option after a word such as "option". Inside an option, it also does if it
# is in brackets or joined to another letter. Elsewhere it is a point, a variable or a list item.
_SMALL = re.compile(r"(?:选项|\boptions?|\bchoices?|\banswers?)\s*[(\[]?([a-z])(?![a-z0-9])")
_SMALL_IN_OPTION = re.compile(
    r"(?<![a-z0-9])\(?([a-z])\)?\s*(?:[和与或及、&]|and\b|or\b)\s*\(?[a-z](?![a-z0-9])|"
    r"(?<!\w)\(([a-z])\)"
)


def options_may_move(problem: str, question: Question) -> bool:
    """True if `question`, asked about `problem`, means the same with its options reordered."""
    options = [_plain(option) for option in question.options]
    texts = [_plain(problem), _plain(question.text), *options]
    return not (
        any(_OF_NEIGHBOURS.search(option) for option in options)
        or any(_labels_in(_SMALL_IN_OPTION, option, question) for option in options)
        or any(
            (found := _SEVERAL.fullmatch(option)) and set(found[1]) <= set(question.labels)
            for option in options
        )
        or any(_labels_in(LETTER, text, question) for text in texts)
        or any(points_at_an_option(text, question) for text in texts)
    )


def points_at_an_option(text: str, question: Question) -> bool:
    """True if `text` refers to an option in a way that breaks when options move: by its place
    ("第二个选项", "the last answer") or by a small letter ("选项b").
    """
    plain = _plain(text)
    return _BY_PLACE.search(plain) is not None or _labels_in(_SMALL, plain, question)


def _labels_in(pattern: re.Pattern[str], text: str, question: Question) -> bool:
    found = (letter for match in pattern.finditer(text) for letter in match.groups(""))
    return any(letter and letter.upper() in question.labels for letter in found)


def _plain(text: str) -> str:
    return unicodedata.normalize("NFKC", text)
