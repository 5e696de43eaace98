"""Answers one question: draws the plan's asks in rounds until the vote is settled."""

from __future__ import annotations

import time
import traceback
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import structlog

from contract import Sentence, coded, label_sets
from contract.multiple import MOST_FOR_SETS
from orchestrator.errors import WaitingForModelError
from orchestrator.jobs.asked import Asked
from orchestrator.jobs.cutting import was_cut
from orchestrator.jobs.records import Answer, Drawn, Flag, JobSettings, Sample
from orchestrator.jobs.vote import (
    Outcome,
    Slot,
    in_panel,
    needs_logprobs,
    outcome,
    slot_of,
    weigher,
)
from orchestrator.replies import Completion, writable
from orchestrator.worker.asking import Server, all_of
from orchestrator.worker.failures import RequestFailedError
from orchestrator.worker.plan import Ask, Plan, Voter, in_requests, job_voters
from orchestrator.worker.seats import Seat, Servers

log = structlog.get_logger("quorum")

Keep = Callable[[Drawn], Awaitable[None]]


@dataclass(frozen=True)
class Sampler:
    """`seats` has a panel's voters with their servers; a job without a panel asks `server`."""

    server: Server
    settings: JobSettings
    seats: tuple[Seat, ...] = ()
    _logged: set[str] = field(default_factory=set)

    @cached_property
    def voters(self) -> tuple[Voter, ...]:
        if self.seats:
            return tuple(seat.voter for seat in self.seats)
        return job_voters(self.settings, self.server.model)

    @cached_property
    def servers(self) -> Servers:
        return Servers({seat.voter.name: seat.server for seat in self.seats}, self.server)

    async def answer(
        self,
        asked: Asked,
        earlier: Iterable[Drawn] = (),
        keep: Keep | None = None,
        *,
        at_once: bool = False,
    ) -> Answer:
        """The voted answer, or a record with `error` if there is none for any reason.

        `earlier` holds the samples drawn for this question before; they are not drawn again. `keep`
        gets the samples that do not end the vote. `at_once`: all samples are drawn in one round.

        Raises:
            WaitingForModelError: no question can be answered now; the job waits.
            whatever `keep` raises.
        """
        began = time.monotonic()
        vote = _Vote(self.servers, Plan(asked, self.settings, self.voters), earlier, keep)
        result, error = await self._result_of(vote, asked, at_once=at_once)
        saved = 0 if error else max(0, self.settings.samples - len(vote.slots))
        return Answer(
            id=asked.problem.id,
            index=asked.index,
            answer=result.answer or vote.forced,
            key=asked.question.answer,
            multiple=self.settings.multiple,
            agreement=result.agreement,
            tally=result.tally,
            flags=vote.flags(tie=result.tie, early_stop=saved > 0),
            samples=tuple(vote.samples),
            samples_saved=saved,
            at_once=at_once,
            prompt_tokens=vote.prompt_tokens,
            latency_s=round(time.monotonic() - began, 3),
            finished_at=time.time(),
            error=error,
            error_message=coded(error),
        )

    async def _result_of(
        self, vote: _Vote, asked: Asked, *, at_once: bool
    ) -> tuple[Outcome, Sentence | None]:
        """The vote's outcome, and the reason if the question has no answer."""
        result = Outcome(None, None, {}, tie=False)
        try:
            result = await vote.hold(at_once=at_once)
            return result, await vote.force() if result.answer is None else None
        except RequestFailedError as failure:
            return result, failure.sentence
        except WaitingForModelError:
            raise
        except _NotKeptError as error_of_keep:
            raise error_of_keep.reason from None
        except Exception as fault:  # noqa: BLE001 # any error fails only this question
            return result, self._name(fault, asked)

    def _name(self, fault: Exception, asked: Asked) -> Sentence:
        """A sentence about an unexpected error. Its traceback is logged once per place and kind."""
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
        return Sentence(
            "unexpected-error",
            "an unexpected error ({error}); the worker's log has its traceback",
            error=writable(f"{type(fault).__name__}: {fault}"),
        )


class _NotKeptError(Exception):
    """The samples could not be kept; the question is not at fault."""

    def __init__(self, reason: Exception) -> None:
        super().__init__(str(reason))
        self.reason = reason


class _Vote:
    """The running vote over one question."""

    def __init__(
        self, servers: Servers, plan: Plan, earlier: Iterable[Drawn], keep: Keep | None
    ) -> None:
        self.servers = servers
        self.plan = plan
        self.slots: list[Slot] = []
        self.samples: list[Sample] = []
        self.forced: str | None = None
        before = list(earlier)
        self.prompt_tokens = sum(drawn.prompt_tokens for drawn in before)
        self._drawn = {(s.slot, s.attempt): s for drawn in before for s in drawn.drawn}
        self._weigh = in_panel(
            weigher(plan.settings.vote, plan.settings.vote_temperature),
            {voter.name: voter.weight for voter in plan.voters},
        )
        self._keep = keep
        self._under_way = 0
        self._not_kept: list[Drawn] = []

    async def hold(self, *, at_once: bool) -> Outcome:
        while asks := self.plan.next_asks(self.slots, at_once=at_once):
            for attempts in await all_of(map(self._settle, await self._draw(asks))):
                self.slots.append(slot_of(attempts[-1], self._weigh))
                self.samples += attempts
        return outcome(self.slots, self.plan.settings.samples)

    async def force(self) -> Sentence | None:
        """Take the label of one reply restricted to the question's labels, or to sets of them.
        Returns the error if that fails.
        """
        await self._keep_drawn()
        ask = self.plan.held(len(self.slots))
        held = ask.voter.model.held
        labels = self.plan.asked.question.labels
        choices = held.choices(label_sets(labels) if self._votes_on_sets else labels)
        try:
            server = self.servers.of(ask.voter)
            reply = await server.choose(ask.messages, held.lead, choices, ask.seed)
        except RequestFailedError as failure:
            return _unanswered(self.samples, failure.sentence)
        self.forced = reply.text
        self.prompt_tokens += reply.prompt_tokens
        text = held.lead + held.label.replace("{label}", reply.text)
        sample = self.plan.read(reply, ask)
        held_to = {"label": reply.text, "text": text, "confidence": None, "span": None}
        self.samples.append(sample.model_copy(update=held_to))
        return None

    def flags(self, *, tie: bool, early_stop: bool) -> tuple[Flag, ...]:
        flags: dict[Flag, bool] = {
            "tie": tie,
            "early_stop": early_stop,
            "resampled": any(sample.attempt for sample in self.samples),
            "forced": self.forced is not None,
            "one_label": self.forced is not None
            and self.plan.settings.multiple
            and not self._votes_on_sets,
            "cut": any(was_cut(sample) for sample in self.samples),
            "unpermuted": self.plan.settings.permute_options and not self.plan.permutes,
        }
        return tuple(name for name, is_set in flags.items() if is_set)

    @property
    def _votes_on_sets(self) -> bool:
        """True if several labels are asked for, and a reply can be restricted to sets of them."""
        labels = self.plan.asked.question.labels
        return self.plan.settings.multiple and len(labels) <= MOST_FOR_SETS

    async def _settle(self, sample: Sample) -> list[Sample]:
        """A slot's attempts: an invalid sample is redrawn, up to the limit."""
        attempts = [sample]
        while ask := self.plan.redraw(attempts[-1]):
            attempts += await self._draw([ask])
        return attempts

    async def _draw(self, asks: Sequence[Ask]) -> list[Sample]:
        """The samples for `asks`. Those drawn before are reused."""
        missing = [ask for ask in asks if (ask.slot, ask.attempt) not in self._drawn]
        requests = in_requests(
            missing, lambda ask: self.servers.of(ask.voter).endpoint.draws_several
        )
        for samples in await all_of(map(self._draw_request, requests)):
            self._drawn.update(((sample.slot, sample.attempt), sample) for sample in samples)
        return [self._drawn[ask.slot, ask.attempt] for ask in asks]

    async def _draw_request(self, asks: Sequence[Ask]) -> list[Sample]:
        await self._keep_drawn()  # of earlier requests, which did not end the vote
        self._under_way += 1
        try:
            replies = await self._ask(asks)
        finally:
            self._under_way -= 1
        if needs_logprobs(self.plan.settings) and any(not reply.drawn for reply in replies):
            reason = self._no_logprobs()
            raise RequestFailedError(self.servers.named(asks[0].voter, reason))
        samples = [self.plan.read(reply, ask) for reply, ask in zip(replies, asks, strict=True)]
        self._not_kept.append(
            Drawn(
                id=self.plan.asked.problem.id,
                index=self.plan.asked.index,
                drawn=tuple(samples),
                prompt_tokens=sum(reply.prompt_tokens for reply in replies),
            )
        )
        if self._under_way:
            await self._keep_drawn()
        return samples

    async def _ask(self, asks: Sequence[Ask]) -> list[Completion]:
        """The replies to asks that share a request."""
        first = asks[0]
        logprobs = needs_logprobs(self.plan.settings)
        try:
            replies = await self.servers.of(first.voter).draw(
                first.messages,
                len(asks),
                first.seed,
                logprobs=logprobs,
                **first.voter.sampling,
            )
        except RequestFailedError as failure:
            lacks_logprobs = logprobs and "logprobs" in failure.sentence
            reason = self._no_logprobs() if lacks_logprobs else failure.sentence
            raise RequestFailedError(self.servers.named(first.voter, reason)) from failure
        self.prompt_tokens += sum(reply.prompt_tokens for reply in replies)
        return replies

    def _no_logprobs(self) -> Sentence:
        return Sentence(
            "no-logprobs",
            "the server gives no log-probabilities, which vote={vote} needs; post it with "
            "vote=plurality",
            vote=self.plan.settings.vote,
        )

    async def _keep_drawn(self) -> None:
        """Keep the samples so far. Samples that end the vote are not kept here: they are in the
        answer.
        """
        drawn, self._not_kept = self._not_kept, []
        try:
            for record in drawn:
                if self._keep is not None:
                    await self._keep(record)
        except Exception as error:  # any error is passed on to the caller that gave `keep`
            raise _NotKeptError(error) from error


def _unanswered(samples: Sequence[Sample], failure: Sentence) -> Sentence:
    """Why a question has no answer, if no sample named an option."""
    if any(sample.text for sample in samples):
        return Sentence(
            "no-option-named",
            "no sample named an option, and neither did a reply held to the labels ({failure})",
            failure=failure,
        )
    return Sentence(
        "replies-without-text",
        "the server sent replies without text (finish_reason {finish_reasons}; {failure})",
        finish_reasons=", ".join(sorted({sample.finish_reason for sample in samples})),
        failure=failure,
    )
