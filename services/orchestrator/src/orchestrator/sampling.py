"""Answer one question: draw samples in rounds, read their labels, vote.

Sample i of a question has one seed, whatever round draws it, so a job repeated with its seed
repeats its samples (as far as the server's arithmetic is the same for another batch). Every
sampling value is sent; nothing is left to a server's defaults.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import openai
from openai import AsyncOpenAI
from openai.types.chat import ChatCompletion

from contract import Message, extract_label
from orchestrator.errors import OtherModelServedError
from orchestrator.model import ServedModel
from orchestrator.records import Answer, Flag, JobSettings, Sample
from orchestrator.store import Asked
from orchestrator.vote import draws_needed, outcome

log = logging.getLogger("quorum")

# Seeds of the redraws of a slot lie this far apart, well beyond the largest vote.
ATTEMPT_STRIDE = 1000
LONGEST_WAIT_S = 10.0
# Statuses that say the request itself is at fault (too long, malformed); any other may pass.
REFUSED = (400, 413, 422)
NOT_SERVED = 404
UNANSWERED = "no sample named an option, and neither did a reply held to the labels"


@dataclass(frozen=True)
class Sampler:
    client: AsyncOpenAI
    model: ServedModel
    settings: JobSettings

    async def answer(self, asked: Asked) -> Answer:
        """The voted answer, or a record with `error` where the question itself cannot be asked.

        Raises:
            OtherModelServedError: the server was restarted with other weights.
        """
        started = time.monotonic()
        try:
            answer = await self._vote(asked)
        except openai.APIStatusError as error:
            answer = Answer(
                id=asked.problem.id,
                index=asked.index,
                answer=None,
                error=f"the server refused it: {error}",
            )
        took = round(time.monotonic() - started, 3)
        return answer.model_copy(update={"latency_s": took, "finished_at": time.time()})

    async def _vote(self, asked: Asked) -> Answer:
        messages = self.model.format.messages(asked.problem, asked.question)
        k = self.settings.samples
        slots: list[str | None] = []
        samples: list[Sample] = []
        while count := draws_needed(slots, k, early_stop=self.settings.early_stop):
            first_draws = await self._draw(asked, messages, len(slots), count, attempt=0)
            settled = await asyncio.gather(
                *(self._settle(asked, messages, sample) for sample in first_draws)
            )
            for attempts in settled:
                slots.append(attempts[-1].label)
                samples += attempts
        result = outcome(slots, k)
        flags: dict[Flag, bool] = {
            "tie": result.tie,
            "early_stop": len(slots) < k,
            "resampled": any(sample.attempt for sample in samples),
        }
        answer, error = result.answer, None
        if answer is None:
            forced = await self._force(asked, messages, len(slots))
            samples.append(forced)
            answer, flags["forced"] = forced.label, forced.label is not None
            error = None if answer else UNANSWERED
        return Answer(
            id=asked.problem.id,
            index=asked.index,
            answer=answer,
            agreement=result.agreement,
            tally=result.tally,
            flags=tuple(name for name, is_set in flags.items() if is_set),
            samples=tuple(samples),
            samples_saved=max(0, k - len(slots)),
            error=error,
        )

    async def _settle(self, asked: Asked, messages: list[Message], sample: Sample) -> list[Sample]:
        """A slot's attempts: redrawn while invalid, up to the limit."""
        attempts = [sample]
        while attempts[-1].label is None and len(attempts) <= self.settings.max_resamples:
            attempts += await self._draw(asked, messages, sample.slot, 1, attempt=len(attempts))
        return attempts

    async def _draw(
        self, asked: Asked, messages: list[Message], first_slot: int, count: int, *, attempt: int
    ) -> list[Sample]:
        """`count` samples for consecutive slots.

        A server that ignores `n` is asked again for the rest.
        """
        samples: list[Sample] = []
        while len(samples) < count:
            slot = first_slot + len(samples)
            seed = sample_seed(self.settings.seed, asked, slot, attempt)
            left = count - len(samples)
            completion = await self._complete(messages, n=left, seed=seed, **self._sampling())
            tokens = completion.usage.completion_tokens if completion.usage else 0
            for i, choice in enumerate(completion.choices[:left]):
                text = choice.message.content or ""
                samples.append(
                    Sample(
                        slot=slot + i,
                        attempt=attempt,
                        label=extract_label(
                            text, asked.question.options, self.model.format.label_patterns
                        ),
                        seed=seed + i,
                        finish_reason=choice.finish_reason,
                        tokens=tokens // len(completion.choices),
                        text=text,
                    )
                )
        return samples

    async def _force(self, asked: Asked, messages: list[Message], slot: int) -> Sample:
        """One reply that begins with the answer line and is held to the question's labels."""
        lead = self.model.format.answer_line.split("{label}")[0]
        labels = list(asked.question.labels)
        constrained = {
            "add_generation_prompt": False,
            "continue_final_message": True,
            "structured_outputs": {"choice": labels},
        }
        seed = sample_seed(self.settings.seed, asked, slot, 0)
        completion = await self._complete(
            [*messages, {"role": "assistant", "content": lead}],
            n=1,
            seed=seed,
            temperature=0.0,
            top_p=1.0,
            max_tokens=8,
            extra_body=constrained,
        )
        choice = completion.choices[0]
        text = (choice.message.content or "").strip()
        return Sample(
            slot=slot,
            attempt=0,
            label=text if text in labels else None,
            seed=seed,
            finish_reason=choice.finish_reason,
            tokens=completion.usage.completion_tokens if completion.usage else 0,
            text=lead + text,
        )

    def _sampling(self) -> dict[str, Any]:
        defaults, chosen = self.model.sampling, self.settings
        return {
            "temperature": defaults.temperature
            if chosen.temperature is None
            else chosen.temperature,
            "top_p": defaults.top_p if chosen.top_p is None else chosen.top_p,
            "max_tokens": chosen.max_tokens or defaults.max_tokens,
        }

    async def _complete(self, messages: list[Message], **parameters: Any) -> ChatCompletion:
        async def ask() -> ChatCompletion:
            completion: ChatCompletion = await self.client.chat.completions.create(
                model=self.model.name,
                messages=messages,  # type: ignore[arg-type] # the contract's messages have the API's shape
                **parameters,
            )
            return completion

        return await _patiently(ask)


async def _patiently(ask: Callable[[], Awaitable[ChatCompletion]]) -> ChatCompletion:
    """Ask until there is a reply: a server that is gone, or not fit to be asked, is waited for.

    Raises:
        openai.APIStatusError: the server refuses this very request, now and ever.
        OtherModelServedError: the server was restarted with other weights.
    """
    wait_s = 0.5
    while True:
        try:
            completion = await ask()
            if completion.choices:
                return completion
            reason = "a completion without choices"
        except openai.APIStatusError as error:
            if error.status_code in REFUSED:
                raise
            if error.status_code == NOT_SERVED:
                raise OtherModelServedError(f"the weights are no longer served: {error}") from error
            reason = str(error)
        except openai.APIConnectionError as error:
            reason = str(error)
        log.warning("the model server gave no reply, asking again in %.0f s: %s", wait_s, reason)
        await asyncio.sleep(wait_s)
        wait_s = min(2 * wait_s, LONGEST_WAIT_S)


def sample_seed(job_seed: int, asked: Asked, slot: int, attempt: int) -> int:
    """A seed below 2**31 for one sample.

    Slots of one attempt have consecutive seeds, as the server gives `n` children.
    """
    text = f"{job_seed}/{asked.problem.id}/{asked.index}".encode()
    base = int.from_bytes(hashlib.sha256(text).digest()[:4], "big") >> 2
    return base + attempt * ATTEMPT_STRIDE + slot
