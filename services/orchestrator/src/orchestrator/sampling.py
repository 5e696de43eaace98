"""Answer one question: draw samples in rounds, read their labels, vote.

Sample i of a question has one seed, whatever round draws it, so a job repeated with its seed
repeats its samples (as far as the server's arithmetic is the same for another batch).
"""

from __future__ import annotations

import asyncio
import hashlib
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import openai

from contract import LABELS, Message, Question, extract_label, options_may_move
from orchestrator.asking import CannotHoldError, Completion, Server, chosen_sampling
from orchestrator.records import Answer, Flag, JobSettings, Sample
from orchestrator.store import Asked
from orchestrator.vote import Outcome, Slot, draws_needed, outcome, slot_of

# Seeds of the redraws of a slot lie this far apart, well beyond the largest vote.
ATTEMPT_STRIDE = 1000
UNANSWERED = "no sample named an option, and neither did a reply held to the labels"
NO_LOGPROBS = "the server gives no log-probabilities to weigh votes by; post it with vote=plurality"


class _UnweighableError(Exception):
    """The server does not tell log-probabilities."""


@dataclass(frozen=True)
class Sampler:
    server: Server
    settings: JobSettings

    async def answer(self, asked: Asked) -> Answer:
        """The voted answer, or a record with `error` where the question itself cannot be asked.

        Raises:
            OtherModelServedError: the server was restarted with other weights.
        """
        began = time.monotonic()
        vote = _Vote(self.server, self.settings, asked)
        error = None
        try:
            result = await vote.hold()
        except openai.APIStatusError as refusal:
            error = f"the server refused it: {refusal}"
        except _UnweighableError:
            error = NO_LOGPROBS
        if error is not None:
            result = Outcome(None, None, {}, tie=False)
        elif result.answer is None:
            error = await vote.force()
        flags: dict[Flag, bool] = {
            "tie": result.tie,
            "early_stop": error is None and len(vote.slots) < self.settings.samples,
            "resampled": any(sample.attempt for sample in vote.samples),
            "forced": vote.forced is not None,
            "unpermuted": self.settings.permute_options and not vote.permutes,
        }
        return Answer(
            id=asked.problem.id,
            index=asked.index,
            answer=result.answer or vote.forced,
            key=asked.question.answer,
            agreement=result.agreement,
            tally=result.tally,
            flags=tuple(name for name, is_set in flags.items() if is_set),
            samples=tuple(vote.samples),
            samples_saved=0 if error else max(0, self.settings.samples - len(vote.slots)),
            prompt_tokens=vote.prompt_tokens,
            latency_s=round(time.monotonic() - began, 3),
            finished_at=time.time(),
            error=error,
        )


@dataclass
class _Vote:
    """The vote over one question while it is held."""

    server: Server
    settings: JobSettings
    asked: Asked
    slots: list[Slot] = field(default_factory=list)
    samples: list[Sample] = field(default_factory=list)
    forced: str | None = None
    prompt_tokens: int = 0

    @cached_property
    def permutes(self) -> bool:
        return self.settings.permute_options and options_may_move(
            self.asked.problem.text, self.asked.question
        )

    async def hold(self) -> Outcome:
        k = self.settings.samples
        while count := draws_needed(self.slots, k, early_stop=self.settings.early_stop):
            first_draws = await self._draw(len(self.slots), count)
            for attempts in await asyncio.gather(*map(self._settle, first_draws)):
                self.slots.append(slot_of(attempts[-1]))
                self.samples += attempts
        return outcome(self.slots, k)

    async def force(self) -> str | None:
        """Take the label of one reply held to the question's labels; the error where none is."""
        question, seed = self.asked.question, self._seed(len(self.slots), 0)
        lead = self.server.model.format.answer_line.split("{label}")[0]
        try:
            reply = await self.server.choose(
                self._messages(question), lead, list(question.labels), seed
            )
        except (openai.APIStatusError, CannotHoldError) as refusal:
            return f"{UNANSWERED} ({str(refusal) or 'this server knows no way to do that'})"
        self.forced = reply.text
        self.prompt_tokens += reply.prompt_tokens
        sample = self._sample(reply, len(self.slots), 0, seed, None)
        text = lead + reply.text
        self.samples.append(sample.model_copy(update={"label": reply.text, "text": text}))
        return None

    async def _settle(self, sample: Sample) -> list[Sample]:
        """A slot's attempts: redrawn while invalid, up to the limit."""
        attempts = [sample]
        while attempts[-1].label is None and len(attempts) <= self.settings.max_resamples:
            attempts += await self._draw(sample.slot, 1, attempt=len(attempts))
        return attempts

    async def _draw(self, first_slot: int, count: int, attempt: int = 0) -> list[Sample]:
        """`count` samples for consecutive slots."""
        slots = range(first_slot, first_slot + count)
        if not self.permutes:
            replies = await self._ask(self.asked.question, first_slot, count, attempt)
            orders: list[tuple[int, ...] | None] = [None] * count
        else:
            orders = [option_order(self.settings.seed, self.asked, slot) for slot in slots]
            singles = (
                self._ask(permuted(self.asked.question, order), slot, 1, attempt)
                for slot, order in zip(slots, orders, strict=True)
                if order is not None
            )
            replies = [reply for drawn in await asyncio.gather(*singles) for reply in drawn]
        if self.settings.vote == "weighted" and any(reply.logprob is None for reply in replies):
            raise _UnweighableError
        return [
            self._sample(reply, slot, attempt, self._seed(slot, attempt), order)
            for reply, slot, order in zip(replies, slots, orders, strict=True)
        ]

    async def _ask(
        self, question: Question, first_slot: int, count: int, attempt: int
    ) -> list[Completion]:
        replies = await self.server.draw(
            self._messages(question),
            count,
            self._seed(first_slot, attempt),
            logprobs=self.settings.vote == "weighted",
            **chosen_sampling(self.settings, self.server.model),
        )
        self.prompt_tokens += sum(reply.prompt_tokens for reply in replies)
        return replies

    def _sample(
        self, reply: Completion, slot: int, attempt: int, seed: int, order: Sequence[int] | None
    ) -> Sample:
        question, patterns = self.asked.question, self.server.model.format.label_patterns
        if order is None:
            label = extract_label(reply.text, question.options, patterns)
        else:
            seen = extract_label(reply.text, permuted(question, order).options, patterns)
            label = None if seen is None else LABELS[order[LABELS.index(seen)]]
        return Sample(
            slot=slot,
            attempt=attempt,
            label=label,
            seed=seed,
            finish_reason=reply.finish_reason,
            tokens=reply.tokens,
            order=None if order is None else "".join(LABELS[i] for i in order),
            logprob=reply.logprob,
            text=reply.text,
        )

    def _messages(self, question: Question) -> list[Message]:
        return self.server.model.format.messages(self.asked.problem, question)

    def _seed(self, slot: int, attempt: int) -> int:
        return sample_seed(self.settings.seed, self.asked, slot, attempt)


def sample_seed(job_seed: int, asked: Asked, slot: int, attempt: int) -> int:
    """A seed below 2**31 for one sample.

    Slots of one attempt have consecutive seeds, as the server gives `n` children.
    """
    return (_digest(job_seed, asked) >> 2) + attempt * ATTEMPT_STRIDE + slot


def option_order(job_seed: int, asked: Asked, slot: int) -> tuple[int, ...]:
    """In what order a slot sees the options: at each place the index of an option.

    A shuffle of the question's own, turned by one place a slot, so that as many slots as there are
    options show each option once at each place. Options of the same text keep their order among
    themselves, so that a reply which names the text means the same option in every order.
    """
    options = asked.question.options
    shuffled = list(range(len(options)))
    random.Random(_digest(job_seed, asked)).shuffle(shuffled)
    turn = slot % len(options)
    turned = shuffled[turn:] + shuffled[:turn]
    of_text = {text: iter([i for i, t in enumerate(options) if t == text]) for text in options}
    return tuple(next(of_text[options[i]]) for i in turned)


def permuted(question: Question, order: Sequence[int]) -> Question:
    return replace(question, options=tuple(question.options[i] for i in order))


def _digest(job_seed: int, asked: Asked) -> int:
    text = f"{job_seed}/{asked.problem.id}/{asked.index}".encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:4], "big")
