"""Right or wrong: an answer against its key, and sums for questions with several right options.

Answers and keys are labels. Several are written together, in order: "AC".
"""

from __future__ import annotations

from pydantic import BaseModel

from contract import Sentence

AS_SETS = Sentence(
    "scored-as-sets",
    "an answer is right if it has exactly the options of its key; F1 is 2 x right / (2 x right + "
    "wrong + missing), counted over the options of all questions",
)


def is_right(answer: str | None, key: str | None, *, multiple: bool) -> bool:
    """True if `answer` is right by `key`. False if either is None.

    With `multiple`, all right options were asked for, and the answer must have exactly the key's.
    Otherwise one was asked for, and it is right if it is one of the key's.
    """
    if answer is None or key is None:
        return False
    return answer == key if multiple else answer in [*key]


class OptionsF1(BaseModel):
    """F1 over options, micro-averaged: the options of all questions are counted together.

    `right` options are in the answer and the key, `wrong` ones in the answer only, `missing` ones
    in the key only. Precision is right / (right + wrong), recall is right / (right + missing), and
    `value` is 2 right / (2 right + wrong + missing). A question without an answer misses all
    options of its key.
    """

    right: int
    wrong: int
    missing: int
    precision: float
    recall: float
    value: float


class KeySums:
    """Adds up answers one by one: options, and keys of several labels."""

    def __init__(self) -> None:
        self.several = 0
        self._right = self._wrong = self._missing = 0

    def count(self, answer: str | None, key: str | None) -> None:
        if key is None:
            return
        chosen, wanted = {*(answer or "")}, {*key}
        self.several += len(wanted) > 1
        self._right += len(chosen & wanted)
        self._wrong += len(chosen - wanted)
        self._missing += len(wanted - chosen)

    def options_f1(self) -> OptionsF1 | None:
        """None if no question has a key."""
        right, wrong, missing = self._right, self._wrong, self._missing
        if not right + missing:
            return None
        return OptionsF1(
            right=right,
            wrong=wrong,
            missing=missing,
            precision=right / (right + wrong) if right + wrong else 0.0,
            recall=right / (right + missing),
            value=2 * right / (2 * right + wrong + missing),
        )

    def any_of_several(self, total: int) -> Sentence | None:
        """What counted as right if one option was asked for; None if no key has several."""
        if not self.several:
            return None
        return Sentence(
            "any-of-several",
            "{count} of {total} questions have several right options; an answer with one of them "
            "counted as right. multiple=true asks for all of them",
            count=self.several,
            total=total,
        )
