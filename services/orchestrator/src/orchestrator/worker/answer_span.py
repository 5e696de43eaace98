"""How sure a model was of a reply's answer: the mean log-probability of the answer's tokens."""

from __future__ import annotations

import math
from collections.abc import Sequence

from orchestrator.jobs.records import Span
from orchestrator.replies import Token

# The tokens that count if those of the answer are not known: about a line. "Deep Think with
# Confidence" (arXiv 2508.15260, section 3.1, tail confidence) takes 2,048 of far longer replies.
TAIL = 16


def answer_logprob(text: str, place: tuple[int, int], drawn: Sequence[Token]) -> tuple[float, Span]:
    """The mean log-probability, in nats, of the tokens that hold the characters of `text` from
    `place[0]` to `place[1]`, and "answer". A token counts if one of these characters is in it.

    If the tokens are not those of `text`, the mean of the last `TAIL` ones, and "tail".

    Raises:
        ValueError: there are no tokens.
    """
    if not drawn:
        raise ValueError("a reply without tokens")
    answer = _tokens_at(text, place, drawn)
    logprobs = [token.logprob for token in answer or drawn[-TAIL:]]
    return math.fsum(logprobs) / len(logprobs), "answer" if answer else "tail"


def _tokens_at(text: str, place: tuple[int, int], drawn: Sequence[Token]) -> list[Token]:
    """The tokens of a place in `text`; none if the text cannot be found in them.

    Tokens may also hold what is not in the text: reasoning before it, an end token after it. Some
    servers show a character in two tokens as two U+FFFD. Then the answer's line and what follows is
    sought.
    """
    start, end = place
    whole = b"".join(token.text for token in drawn)
    line = text.rfind("\n", 0, start) + 1
    for skipped in (0, line):
        begin = whole.rfind(text[skipped:].encode())
        if begin >= 0:
            first = begin + len(text[skipped:start].encode())
            return _tokens_between(first, begin + len(text[skipped:end].encode()), drawn)
    return []


def _tokens_between(first: int, last: int, drawn: Sequence[Token]) -> list[Token]:
    """The tokens that hold the bytes from `first` to `last`."""
    found, at = [], 0
    for token in drawn:
        if at < last and first < at + len(token.text):
            found.append(token)
        at += len(token.text)
    return found
