"""The plan of a vote: which completions it asks for next, and how a reply is read. No I/O.

A vote of k has slots 0 .. k-1, and two more to break ties. A slot belongs to a voter. Its first ask
and each redraw have one seed and one order of the options, which depend on nothing but the job's
seed, the question, the slot and the attempt. So a job repeated with its seed repeats its samples,
whatever round draws them (as far as the server's arithmetic is the same for another batch).
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

from contract import LABELS, Message, Question, extract_label, options_may_move
from orchestrator.jobs.asked import Asked
from orchestrator.jobs.records import MAIN_VOTER, JobSettings, Sample, SamplingValues
from orchestrator.jobs.vote import Slot, draws_needed
from orchestrator.model import ServedModel
from orchestrator.replies import Completion

# Seeds of the redraws of a slot lie this far apart, well beyond the largest vote.
ATTEMPT_STRIDE = 1000


class Voter(NamedTuple):
    """A model, the format that it is asked in, and sampling values."""

    name: str
    model: ServedModel
    sampling: SamplingValues


def job_voters(settings: JobSettings, model: ServedModel) -> tuple[Voter, ...]:
    """A job's voters: one, with the poster's sampling values, or the contract's where none were
    chosen."""
    defaults = model.sampling
    sampling = SamplingValues(
        temperature=(
            defaults.temperature if settings.temperature is None else settings.temperature
        ),
        top_p=defaults.top_p if settings.top_p is None else settings.top_p,
        max_tokens=settings.max_tokens or defaults.max_tokens,
    )
    return (Voter(MAIN_VOTER, model, sampling),)


class Ask(NamedTuple):
    """One completion to ask for.

    `order` holds, for each place in the prompt, the index of the option that stands there; None if
    the options stand as they were posted.
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
        """Whether each slot sees the options in an order of its own."""
        return self.settings.permute_options and options_may_move(
            self.asked.problem.text, self.asked.question
        )

    @cached_property
    def _digest(self) -> int:
        return question_digest(self.settings.seed, self.asked)

    @cached_property
    def _rendered(self) -> dict[tuple[str, tuple[int, ...] | None], list[Message]]:
        return {}

    def next_asks(self, slots: Sequence[Slot]) -> list[Ask]:
        """What to ask next, given the slots so far in order; nothing when the vote is settled."""
        settings = self.settings
        count = draws_needed(slots, settings.samples, early_stop=settings.early_stop)
        return [self.ask(len(slots) + i) for i in range(count)]

    def redraw(self, sample: Sample) -> Ask | None:
        """What to ask instead of an invalid sample; None for a valid one, and at the limit."""
        if sample.label is not None or sample.attempt >= self.settings.max_resamples:
            return None
        return self.ask(sample.slot, sample.attempt + 1)

    def ask(self, slot: int, attempt: int = 0) -> Ask:
        order = option_order(self.settings.seed, self.asked, slot) if self.permutes else None
        return self._ask(slot, attempt, order)

    def held(self, slot: int) -> Ask:
        """The ask of a reply that is held to the labels: the options stand as they were posted."""
        return self._ask(slot, 0, None)

    def _ask(self, slot: int, attempt: int, order: tuple[int, ...] | None) -> Ask:
        voter = self.voters[slot % len(self.voters)]
        messages = self._rendered.get((voter.name, order))
        if messages is None:
            question = permuted(self.asked.question, order)
            messages = voter.model.format.messages(self.asked.problem, question)
            self._rendered[voter.name, order] = messages
        seed = (self._digest >> 2) + attempt * ATTEMPT_STRIDE + slot
        return Ask(voter, messages, order, seed, slot, attempt)

    def read(self, reply: Completion, ask: Ask) -> Sample:
        """The sample that a reply makes; its label is one of the question as it was posted."""
        question = permuted(self.asked.question, ask.order)
        patterns = ask.voter.model.format.label_patterns
        label = extract_label(reply.text, question.options, patterns)
        if label is not None and ask.order is not None:
            label = LABELS[ask.order[LABELS.index(label)]]
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
            reasoning=reply.reasoning,
            text=reply.text,
        )


def in_requests(asks: Iterable[Ask], *, several: bool) -> list[list[Ask]]:
    """Asks as requests: neighbours that differ in nothing but consecutive seeds share one, if the
    server draws `several` completions in a request."""
    requests: list[list[Ask]] = []
    for ask in asks:
        last = requests[-1][-1] if requests else None
        if (
            several
            and last is not None
            and (last.voter.name, last.order, last.seed + 1)
            == (ask.voter.name, ask.order, ask.seed)
        ):
            requests[-1].append(ask)
        else:
            requests.append([ask])
    return requests


def option_order(job_seed: int, asked: Asked, slot: int) -> tuple[int, ...]:
    """In what order a slot sees the options: at each place the index of an option.

    A shuffle of the question's own, turned by one place a slot, so that as many slots as there are
    options show each option once at each place. Options of the same text keep their order among
    themselves, so that a reply which names the text means the same option in every order.
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
    """32 bits that depend on the job's seed and on the question's place alone."""
    text = f"{job_seed}/{asked.problem.id}/{asked.index}".encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:4], "big")
