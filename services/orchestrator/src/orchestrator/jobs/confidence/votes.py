"""What a vote shows of a question: the evidence that confidence is computed from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

from orchestrator.jobs.cutting import was_cut
from orchestrator.jobs.records import Answer

# Mean log-probabilities are rounded to this, so that many votes are the same.
LOGPROB_STEP = 0.05


class Vote(NamedTuple):
    """The evidence of one question, without its labels' names.

    `for_answer` and `for_others` are votes, the latter in falling order. Only drawn samples count:
    a vote that was stopped at 2:0 is that, and not 3:0. `options` is the number of labels that
    could win. `invalid` and `cut` count samples, redraws included. `logprob` is the mean
    log-probability per token, in nats, of the samples that named the answer: of the answer's tokens
    if they are known, else of all.
    """

    for_answer: int
    for_others: tuple[int, ...]
    options: int
    invalid: int = 0
    cut: int = 0
    tie: bool = False
    forced: bool = False
    logprob: float | None = None


class Case(NamedTuple):
    """A vote on a question with a key. `for_key` is the number of votes for the key."""

    vote: Vote
    for_key: int
    right: bool


def votes_by_label(answer: Answer) -> dict[str, int]:
    """Samples per label, each slot by its last attempt, unweighted.

    A reply that was restricted to the labels is one vote.
    """
    if answer.answer is None:
        return {}
    if answer.forced:
        return {answer.answer: 1}
    last = {sample.slot: sample.label for sample in answer.samples}
    return dict(Counter(label for label in last.values() if label is not None))


def labels_that_can_win(options: int, *, multiple: bool) -> int:
    """The number of labels of a vote; with `multiple`, every set of options is one."""
    return 2**options - 1 if multiple else options


def vote_of(answer: Answer, options: int) -> Vote | None:
    """The evidence of an answer to a question with so many options; None without an answer."""
    if answer.answer is None:
        return None
    votes = votes_by_label(answer)
    named = [
        s.logprob if s.answer_logprob is None else s.answer_logprob
        for s in answer.samples
        if s.label == answer.answer
    ]
    known = [logprob for logprob in named if logprob is not None]
    return Vote(
        for_answer=votes.pop(answer.answer, 0),
        for_others=tuple(sorted(votes.values(), reverse=True)),
        options=labels_that_can_win(options, multiple=answer.multiple),
        invalid=sum(sample.label is None for sample in answer.samples),
        cut=sum(was_cut(sample) for sample in answer.samples),
        tie="tie" in answer.flags,
        forced=answer.forced,
        logprob=_rounded(sum(known) / len(known)) if known and len(known) == len(named) else None,
    )


def case_of(answer: Answer, options: int) -> Case | None:
    """None without an answer or a key."""
    vote = vote_of(answer, options)
    if vote is None or answer.key is None:
        return None
    return Case(vote, _for_key(votes_by_label(answer), answer, answer.key), answer.right)


def _for_key(votes: Mapping[str, int], answer: Answer, key: str) -> int:
    """If any of several right options counts, the one with the most votes stands for them; a right
    answer is that one.
    """
    if answer.right and answer.answer is not None:
        return votes.get(answer.answer, 0)
    return votes.get(key, 0) if answer.multiple else max(votes.get(label, 0) for label in key)


def _rounded(logprob: float) -> float:
    return round(round(logprob / LOGPROB_STEP) * LOGPROB_STEP, 6)
