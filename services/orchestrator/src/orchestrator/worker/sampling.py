"""Answer one question: draw samples in rounds, read their labels, vote.

Sample i of a question has one seed, whatever round draws it, so a job repeated with its seed
repeats its samples (as far as the server's arithmetic is the same for another batch).
"""

from __future__ import annotations

import hashlib
import random
import time
import traceback
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import structlog

from contract import LABELS, Message, Question, extract_label, options_may_move
from orchestrator.errors import WaitingForModelError
from orchestrator.jobs.asked import Asked
from orchestrator.jobs.cutting import was_cut
from orchestrator.jobs.records import Answer, Drawn, Flag, JobSettings, Sample
from orchestrator.jobs.vote import Outcome, Slot, draws_needed, outcome, slot_of
from orchestrator.replies import Completion, writable
from orchestrator.worker.asking import Server, all_of, chosen_sampling
from orchestrator.worker.endpoint import RequestFailedError

log = structlog.get_logger("quorum")

# Seeds of the redraws of a slot lie this far apart, well beyond the largest vote.
ATTEMPT_STRIDE = 1000
UNANSWERED = "no sample named an option, and neither did a reply held to the labels"
WORDLESS = "the server sent replies without text"
Keep = Callable[[Drawn], Awaitable[None]]
NO_LOGPROBS = "the server gives no log-probabilities to weigh votes by; post it with vote=plurality"


@dataclass(frozen=True)
class Sampler:
    server: Server
    settings: JobSettings
    _logged: set[str] = field(default_factory=set)

    async def answer(
        self, asked: Asked, earlier: Iterable[Drawn] = (), keep: Keep | None = None
    ) -> Answer:
        """The voted answer, or a record with `error` where there is none, whatever the reason.

        `earlier` holds what was drawn for this question before; it is not drawn again. `keep` is
        given the samples after which the vote goes on.

        Raises:
            WaitingForModelError: what keeps every question from its answer; the job waits.
            whatever `keep` raises.
        """
        began = time.monotonic()
        vote = _Vote(self.server, self.settings, asked, earlier, keep)
        result, error = Outcome(None, None, {}, tie=False), None
        try:
            result = await vote.hold()
            if result.answer is None:
                error = await vote.force()
        except RequestFailedError as failure:
            error = str(failure)
        except WaitingForModelError:
            raise
        except _NotKeptError as error_of_keep:
            raise error_of_keep.reason from None
        except Exception as fault:  # noqa: BLE001 # whatever it is, it is this question's alone
            error = self._name(fault, asked)
        flags: dict[Flag, bool] = {
            "tie": result.tie,
            "early_stop": error is None and len(vote.slots) < self.settings.samples,
            "resampled": any(sample.attempt for sample in vote.samples),
            "forced": vote.forced is not None,
            "cut": any(was_cut(sample) for sample in vote.samples),
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

    def _name(self, fault: Exception, asked: Asked) -> str:
        """A sentence about an unexpected error; its traceback is logged once a place and kind."""
        frame = traceback.extract_tb(fault.__traceback__)[-1]
        kind = f"{type(fault).__name__} at {frame.filename}:{frame.lineno}"
        if kind not in self._logged:
            self._logged.add(kind)
            log.error(
                "a question failed by an error of ours; others that fail so are not logged",
                id=asked.problem.id,
                index=asked.index,
                exc_info=fault,
            )
        said = writable(f"{type(fault).__name__}: {fault}")
        return f"an unexpected error ({said}); the worker's log has its traceback"


class _NotKeptError(Exception):
    """What was drawn could not be kept; that is no fault of the question."""

    def __init__(self, reason: Exception) -> None:
        super().__init__(str(reason))
        self.reason = reason


class _Vote:
    """The vote over one question while it is held."""

    def __init__(
        self,
        server: Server,
        settings: JobSettings,
        asked: Asked,
        earlier: Iterable[Drawn],
        keep: Keep | None,
    ) -> None:
        self.server = server
        self.settings = settings
        self.asked = asked
        self.slots: list[Slot] = []
        self.samples: list[Sample] = []
        self.forced: str | None = None
        before = list(earlier)
        self.prompt_tokens = sum(drawn.prompt_tokens for drawn in before)
        self._drawn = {(s.slot, s.attempt): s for drawn in before for s in drawn.drawn}
        self._keep = keep
        self._under_way = 0
        self._not_kept: list[Drawn] = []

    @cached_property
    def permutes(self) -> bool:
        return self.settings.permute_options and options_may_move(
            self.asked.problem.text, self.asked.question
        )

    async def hold(self) -> Outcome:
        k = self.settings.samples
        while count := draws_needed(self.slots, k, early_stop=self.settings.early_stop):
            first_draws = await self._draw(len(self.slots), count)
            for attempts in await all_of(map(self._settle, first_draws)):
                self.slots.append(slot_of(attempts[-1]))
                self.samples += attempts
        return outcome(self.slots, k)

    async def force(self) -> str | None:
        """Take the label of one reply held to the question's labels; the error where none is."""
        await self._keep_drawn()
        question, seed = self.asked.question, self._seed(len(self.slots), 0)
        held = self.server.model.held
        choices = held.choices(question.labels)
        try:
            reply = await self.server.choose(self._messages(question), held.lead, choices, seed)
        except RequestFailedError as failure:
            ends = {sample.finish_reason for sample in self.samples}
            if not any(sample.text for sample in self.samples):
                return f"{WORDLESS} (finish_reason {', '.join(sorted(ends))}; {failure})"
            return f"{UNANSWERED} ({failure})"
        self.forced = reply.text
        self.prompt_tokens += reply.prompt_tokens
        sample = self._sample(reply, len(self.slots), 0, None)
        text = held.lead + held.label.replace("{label}", reply.text)
        self.samples.append(sample.model_copy(update={"label": reply.text, "text": text}))
        return None

    async def _settle(self, sample: Sample) -> list[Sample]:
        """A slot's attempts: redrawn while invalid, up to the limit."""
        attempts = [sample]
        while attempts[-1].label is None and len(attempts) <= self.settings.max_resamples:
            attempts += await self._draw(sample.slot, 1, attempt=len(attempts))
        return attempts

    async def _draw(self, first_slot: int, count: int, attempt: int = 0) -> list[Sample]:
        """The samples of consecutive slots; those that were drawn before are taken as they are."""
        slots = range(first_slot, first_slot + count)
        missing = [slot for slot in slots if (slot, attempt) not in self._drawn]
        runs = consecutive(missing)
        if self.permutes or not self.server.endpoint.draws_several:  # each by its own request
            runs = [(slot, 1) for slot in missing]
        for samples in await all_of(self._draw_run(*run, attempt) for run in runs):
            self._drawn.update(((sample.slot, attempt), sample) for sample in samples)
        return [self._drawn[slot, attempt] for slot in slots]

    async def _draw_run(self, first_slot: int, count: int, attempt: int) -> list[Sample]:
        """Samples of consecutive slots that are asked the same."""
        question, order = self.asked.question, None
        if self.permutes:
            order = option_order(self.settings.seed, self.asked, first_slot)
            question = permuted(question, order)
        await self._keep_drawn()  # now that the vote goes on
        self._under_way += 1
        try:
            replies = await self._ask(question, first_slot, count, attempt)
        finally:
            self._under_way -= 1
        if self.settings.vote == "weighted" and any(reply.logprob is None for reply in replies):
            raise RequestFailedError(NO_LOGPROBS)
        samples = [
            self._sample(reply, first_slot + i, attempt, order) for i, reply in enumerate(replies)
        ]
        tokens = sum(reply.prompt_tokens for reply in replies)
        self._not_kept.append(
            Drawn(
                id=self.asked.problem.id,
                index=self.asked.index,
                drawn=tuple(samples),
                prompt_tokens=tokens,
            )
        )
        if self._under_way:
            await self._keep_drawn()
        return samples

    async def _keep_drawn(self) -> None:
        """Keep what has been drawn so far. What ends the vote is not kept: the answer holds it."""
        drawn, self._not_kept = self._not_kept, []
        try:
            for record in drawn:
                if self._keep is not None:
                    await self._keep(record)
        except Exception as error:  # whatever it is, it goes on to who gave `keep`
            raise _NotKeptError(error) from error

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
        self, reply: Completion, slot: int, attempt: int, order: Sequence[int] | None
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
            seed=self._seed(slot, attempt),
            finish_reason=reply.finish_reason,
            tokens=reply.tokens,
            order=None if order is None else "".join(LABELS[i] for i in order),
            logprob=reply.logprob,
            reasoning=reply.reasoning,
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


def consecutive(slots: Sequence[int]) -> list[tuple[int, int]]:
    """Rising numbers as runs without gaps, each by its first number and its length."""
    firsts = [slot for slot in slots if slot - 1 not in slots]
    lasts = [slot for slot in slots if slot + 1 not in slots]
    return [(first, last - first + 1) for first, last in zip(firsts, lasts, strict=True)]


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
