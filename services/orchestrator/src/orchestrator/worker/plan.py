"""The plan of a vote: the completions to ask for next, and how a reply is read. No I/O.

A vote of k has slots 0 .. k-1, and two more to break ties. The voters take the slots in turn. The
first ask and each redraw have a seed and an order of the options. Both depend only on the job's
seed, the question, the slot and the attempt. A voter's own slots have consecutive seeds, and no two
voters share a seed. So a job repeated with its seed gets the same samples in any
round (if the server's arithmetic is the same in another batch).
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

from contract import (
    LABELS,
    Message,
    Question,
    asking_for_all,
    extract_label,
    extract_labels,
    label_place,
    labels_place,
    options_may_move,
)
from orchestrator.jobs.asked import Asked
from orchestrator.jobs.panels import PinnedPanel
from orchestrator.jobs.records import MAIN_VOTER, JobSettings, Sample, Span
from orchestrator.jobs.vote import Slot, draws_needed, needs_logprobs
from orchestrator.jobs.voter_records import SamplingValues
from orchestrator.model import ServedModel
from orchestrator.replies import Completion
from orchestrator.worker.answer_span import answer_logprob
from orchestrator.worker.panels import served

# The distance between the seeds of a slot's redraws, far larger than the largest vote. Within it,
# each voter has a part of its own.
ATTEMPT_STRIDE = 1000


class Voter(NamedTuple):
    """A model with its prompt format, sampling values, and the weight of its votes in (0, 1]."""

    name: str
    model: ServedModel
    sampling: SamplingValues
    weight: float = 1


def job_voters(settings: JobSettings, model: ServedModel) -> tuple[Voter, ...]:
    """The voters of a job without a panel: one, with the client's sampling values, or the
    contract's if the client chose none.
    """
    model = _asked_as_wanted(settings, model)
    defaults = model.sampling
    sampling = SamplingValues(
        temperature=(
            defaults.temperature if settings.temperature is None else settings.temperature
        ),
        top_p=defaults.top_p if settings.top_p is None else settings.top_p,
        max_tokens=settings.max_tokens or defaults.max_tokens,
    )
    return (Voter(MAIN_VOTER, model, sampling),)


def panel_voters(settings: JobSettings, panel: PinnedPanel) -> tuple[Voter, ...]:
    return tuple(
        Voter(v.name, _asked_as_wanted(settings, served(v)), v.sampling, v.weight)
        for v in panel.voters
    )


def _asked_as_wanted(settings: JobSettings, model: ServedModel) -> ServedModel:
    """The model, asked for all right options if the client wants them."""
    if not settings.multiple:
        return model
    return replace(model, format=asking_for_all(model.format).format)


class Ask(NamedTuple):
    """One completion to ask for.

    `order` holds the index of the option at each place in the prompt; None means the posted order.
    """

    voter: Voter
    messages: list[Message]
    order: tuple[int, ...] | None
    seed: int
    slot: int
    attempt: int


@dataclass(frozen=True)
class Plan:
    """The plan of the vote over one question. `voters` take the slots in turn."""

    asked: Asked
    settings: JobSettings
    voters: tuple[Voter, ...]

    @cached_property
    def permutes(self) -> bool:
        """True if each slot sees the options in its own order."""
        return self.settings.permute_options and options_may_move(
            self.asked.problem.text, self.asked.question
        )

    @cached_property
    def _digest(self) -> int:
        return question_digest(self.settings.seed, self.asked)

    @cached_property
    def _rendered(self) -> dict[tuple[str, tuple[int, ...] | None], list[Message]]:
        return {}

    def next_asks(self, slots: Sequence[Slot], *, at_once: bool = False) -> list[Ask]:
        """The next asks, given the slots so far in order; empty if the vote is settled. With
        `at_once` they are not fewer although early stopping is on.
        """
        stops_early = self.settings.early_stop and not at_once
        count = draws_needed(
            slots,
            self.settings.samples,
            early_stop=stops_early,
            voters=[voter.weight for voter in self.voters],
        )
        return [self.ask(len(slots) + i) for i in range(count)]

    def redraw(self, sample: Sample) -> Ask | None:
        """The ask that replaces an invalid sample; None for a valid one, and at the limit."""
        if sample.label is not None or sample.attempt >= self.settings.max_resamples:
            return None
        return self.ask(sample.slot, sample.attempt + 1)

    def ask(self, slot: int, attempt: int = 0) -> Ask:
        order = option_order(self.settings.seed, self.asked, slot) if self.permutes else None
        return self._ask(self.voters[slot % len(self.voters)], slot, attempt, order)

    def held(self, slot: int) -> Ask:
        """The ask of a reply restricted to the labels, for the first voter. The options are in the
        posted order.
        """
        return self._ask(self.voters[0], slot, 0, None)

    def _ask(self, voter: Voter, slot: int, attempt: int, order: tuple[int, ...] | None) -> Ask:
        messages = self._rendered.get((voter.name, order))
        if messages is None:
            question = permuted(self.asked.question, order)
            messages = voter.model.format.messages(self.asked.problem, question)
            self._rendered[voter.name, order] = messages
        turn, place = divmod(slot, len(self.voters))
        seed = (
            (self._digest >> 2)
            + attempt * ATTEMPT_STRIDE
            + place * (ATTEMPT_STRIDE // len(self.voters))
            + turn
        )
        return Ask(voter, messages, order, seed, slot, attempt)

    def read(self, reply: Completion, ask: Ask) -> Sample:
        """The sample from a reply. Its label is one of the question as posted, or several."""
        question = permuted(self.asked.question, ask.order)
        patterns = ask.voter.model.format.label_patterns
        extract = extract_labels if self.settings.multiple else extract_label
        label = extract(reply.text, question.options, patterns)
        if label is not None and ask.order is not None:
            label = "".join(sorted(LABELS[ask.order[LABELS.index(one)]] for one in label))
        logprob, span = self._logprob_of_answer(reply, question, patterns)
        return Sample(
            slot=ask.slot,
            attempt=ask.attempt,
            voter=ask.voter.name,
            label=label,
            seed=ask.seed,
            finish_reason=reply.finish_reason,
            tokens=reply.tokens,
            order=None if ask.order is None else "".join(LABELS[i] for i in ask.order),
            logprob=reply.logprob,
            answer_logprob=logprob,
            span=span,
            reasoning=reply.reasoning,
            reasoning_tokens=reply.reasoning_tokens or None,
            text=reply.text,
        )

    def _logprob_of_answer(
        self, reply: Completion, question: Question, patterns: Sequence[str]
    ) -> tuple[float | None, Span | None]:
        """The mean log-probability of the label's tokens, if the vote needs it and there are a
        label and tokens.
        """
        if not reply.drawn or not needs_logprobs(self.settings):
            return None, None
        place_of = labels_place if self.settings.multiple else label_place
        place = place_of(reply.text, question.options, patterns)
        return answer_logprob(reply.text, place, reply.drawn) if place else (None, None)


def in_requests(asks: Iterable[Ask], several: Callable[[Ask], bool]) -> list[list[Ask]]:
    """Group asks into requests. If an ask's server draws `several` completions per request, asks
    of the same voter that differ only in consecutive seeds share one.
    """
    requests: list[list[Ask]] = []
    latest: dict[tuple[str, tuple[int, ...] | None], list[Ask]] = {}
    for ask in asks:
        key = (ask.voter.name, ask.order)
        last = latest.get(key)
        if last is not None and last[-1].seed + 1 == ask.seed and several(ask):
            last.append(ask)
        else:
            latest[key] = [ask]
            requests.append(latest[key])
    return requests


def option_order(job_seed: int, asked: Asked, slot: int) -> tuple[int, ...]:
    """The order in which a slot sees the options: the index of the option at each place.

    Each question has one shuffle, rotated by one place per slot. So over as many slots as options,
    each option appears once at each place. Options with the same text keep their relative order, so
    that a reply with that text means the same option in every order.
    """
    options = asked.question.options
    shuffled = list(range(len(options)))
    random.Random(question_digest(job_seed, asked)).shuffle(shuffled)
    turn = slot % len(options)
    turned = shuffled[turn:] + shuffled[:turn]
    of_text = {text: iter([i for i, t in enumerate(options) if t == text]) for text in options}
    return tuple(next(of_text[options[i]]) for i in turned)


def permuted(question: Question, order: Sequence[int] | None) -> Question:
    if order is None:
        return question
    return replace(question, options=tuple(question.options[i] for i in order))


def question_digest(job_seed: int, asked: Asked) -> int:
    """32 bits that depend only on the job's seed and the question's place."""
    text = f"{job_seed}/{asked.problem.id}/{asked.index}".encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:4], "big")
