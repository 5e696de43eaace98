"""Options inside a question's text: "..\\nA. ..\\nB. ..", also several on a line, also with full
width letters and points.

Marks that open options are searched for in three ways, from strict to lax: at the start of a line,
also after a gap (two blanks, a tab), also after one blank or a closing mark. A way is good if its
marks from the last A on are A, B, C ... . The good way with the most marks counts, and of these the
strictest. So "D. Washington D. C." is one option if the four are on lines of their own, and "A. x
B. y\\nC. z D. w" are four. More than four options must stand at the start of lines, so that "D. a
strain of E. coli" is one option. What stays unclear is refused.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

from contract.files.fields import text_in
from contract.files.shapes import RowFaultsError
from contract.options import LABELS
from contract.sentences import Sentence

# not "A.M.", "B.C."
_POINT = r"[.．](?![A-Z]\.)"
_LINE = rf"^[ \t\u3000]*([A-ZＡ-Ｚ])(?:[ \t]*{_POINT}|、)"
_GAP = rf"(?:(?<=[ \u3000\u00a0]{{2}})|(?<=[\t\u3000]))([A-DＡ-Ｄ]){_POINT}"
_CLOSE = rf"(?<=[\s)）\]】。；;？?！!…:：,，_])([A-DＡ-Ｄ]){_POINT}"
_WAYS = tuple(
    re.compile("|".join(patterns), re.MULTILINE)
    for patterns in ((_LINE,), (_LINE, _GAP), (_LINE, _GAP, _CLOSE))
)


class _Mark(NamedTuple):
    label: str
    start: int
    end: int


def split(text: str, place: str) -> tuple[str, list[str]]:
    """The question without its options, and the options.

    Raises:
        RowFaultsError: no options are found, they cannot be told apart, one is empty, or the text
            has several questions. `place` is the text's place in the record.
    """
    ways = [_marks(way, text) for way in _WAYS]
    marks = max((_run(found) for found in ways), key=len)
    _refuse_unclear(marks, ways[-1], place)
    ends = [*(mark.start for mark in marks[1:]), len(text)]
    options = [text[mark.end : end].strip() for mark, end in zip(marks, ends, strict=True)]
    for mark, option in zip(marks, options, strict=True):
        if not option:
            reason = Sentence(
                "option-without-text",
                "option {label} has no text; if it is a picture, leave the row out",
                label=mark.label,
            )
            raise RowFaultsError((place, reason))
    return text_in({place: text[: marks[0].start].rstrip()}, place), options


def _marks(way: re.Pattern[str], text: str) -> list[_Mark]:
    return [
        _Mark(unicodedata.normalize("NFKC", match[match.lastindex or 0]), *match.span())
        for match in way.finditer(text)
    ]


def _run(marks: Sequence[_Mark]) -> list[_Mark]:
    """The marks from the last A on, if they are A, B, C ... ; else none."""
    letters = "".join(mark.label for mark in marks)
    start = letters.rfind("A")
    size = len(letters) - start
    good = start >= 0 and size > 1 and letters[start:] == LABELS[:size]
    return [*marks[start:]] if good else []


def _refuse_unclear(marks: Sequence[_Mark], all_marks: Sequence[_Mark], place: str) -> None:
    letters = "".join(mark.label for mark in all_marks)
    if not letters:
        reason = Sentence(
            "text-lacks-options",
            'must have its options in it, such as "A. .. B. ..", and has none',
        )
        raise RowFaultsError((place, reason))
    if letters.count("AB") > 1:
        reason = Sentence(
            "several-questions-in-text",
            "has the options of {count} questions; write each question as a row of its own",
            count=letters.count("AB"),
        )
        raise RowFaultsError((place, reason))
    after = [mark.label for mark in all_marks if marks and mark.start > marks[-1].start]
    if not marks or LABELS[len(marks) : len(marks) + 1] in after:
        reason = Sentence(
            "options-unclear",
            "has options that cannot be told apart ({letters}); write each on a line of its own",
            letters=", ".join(letters[: len(LABELS)]),
        )
        raise RowFaultsError((place, reason))
