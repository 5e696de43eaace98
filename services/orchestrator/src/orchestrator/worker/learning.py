"""What an endpoint refuses, found out once for all shards of a worker's stay at a job."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable

import structlog

from contract import Sentence
from orchestrator.adapting import HINTS, NEARLY_GREEDY, SINGLY, SYSTEM, Adaptation, adapted, learned
from orchestrator.jobs.records import Adapted
from orchestrator.worker.connections import Body

log = structlog.get_logger("quorum")


class Learned:
    """`fixed` holds parameters that are never changed: `SYSTEM` for a trained model, whose prompt
    must be as in training. `keep` is called with each new adaptation. `model` is that of a panel's
    voter: models at one address may refuse different things.
    """

    def __init__(
        self,
        fixed: Collection[str] = (),
        keep: Callable[[], None] = lambda: None,
        model: str | None = None,
    ) -> None:
        self._model = model
        self.known: tuple[Adaptation, ...] = ()
        self._fixed = fixed
        self._keep = keep

    def adapted(self, body: Body, tried: Iterable[Adaptation] = ()) -> Body:
        """The request with what is known, and with what is only tried."""
        return adapted(body, (*self.known, *tried))

    def know(self, entries: Iterable[Adapted], url: str) -> None:
        """Take over what start.json has of the endpoint at `url`."""
        for entry in entries:
            adaptation = Adaptation(entry.parameter, entry.instead, entry.value, entry.sent)
            is_ours = (entry.url, entry.model) == (url, self._model)
            if is_ours and adaptation not in self.known:
                self.known += (adaptation,)

    def record(self, url: str) -> list[Adapted]:
        """What is known, as start.json has it."""
        return [
            Adapted(
                parameter=adaptation.parameter,
                instead=adaptation.instead,
                value=adaptation.value,
                sent=adaptation.sent,
                url=url,
                model=self._model,
                note=note(adaptation),
                note_message=note(adaptation).message(),
            )
            for adaptation in self.known
        ]

    def found(
        self, body: Body, refusal: bytes, status: int, tried: Iterable[Adaptation]
    ) -> Adaptation | None:
        """What the endpoint refused of `body` as it was sent, with what is known and `tried`; None
        if that cannot be told or changed. It is known once it is added: after a request without it
        succeeded.
        """
        if NEARLY_GREEDY in (*self.known, *tried) and body.get("temperature") == 0.0:
            others = [each for each in (*self.known, *tried) if each != NEARLY_GREEDY]
            first = learned(adapted(body, others), refusal, self._fixed, status)
            if first == NEARLY_GREEDY:  # refused again: neither value is taken
                return Adaptation("temperature", value=0.0)
            return first
        return learned(self.adapted(body, tried), refusal, self._fixed, status)

    def add(self, adaptation: Adaptation, words: str = "") -> None:
        if adaptation not in self.known:
            self.known += (adaptation,)
            log.warning(note(adaptation), parameter=adaptation.parameter, words=words)
            self._keep()


def note(adaptation: Adaptation) -> Sentence:
    """What an adaptation means for a job."""
    name = adaptation.parameter
    if adaptation == SINGLY:
        return Sentence(
            "sent-singly",
            "the endpoint draws one sample a request; each is asked for by itself",
        )
    if name == SYSTEM:
        return Sentence(
            "sent-without-system",
            "the endpoint takes no system role; its text stands at the beginning of the question",
        )
    if adaptation.instead is not None:
        return Sentence(
            "sent-renamed",
            "the endpoint refuses {parameter}; its value is sent as {instead}",
            parameter=name,
            instead=adaptation.instead,
        )
    if adaptation.sent is not None and adaptation.value is not None:
        return Sentence(
            "sent-other-value",
            "the endpoint refuses {parameter}={value:g}; {sent:g} is sent instead",
            parameter=name,
            value=adaptation.value,
            sent=adaptation.sent,
        )
    if adaptation.value is not None:
        return Sentence(
            "sent-without-value",
            "the endpoint refuses {parameter}={value:g}; it is left out there, and the endpoint's "
            "default holds",
            parameter=name,
            value=adaptation.value,
        )
    return _left_out(name)


def _left_out(name: str) -> Sentence:
    if name in ("seed", "random_seed"):
        return Sentence(
            "sent-without-seed",
            "the endpoint refuses {parameter}; it is left out, so the job cannot be repeated with "
            "the same samples",
            parameter=name,
        )
    if name in ("temperature", "top_p"):
        return Sentence(
            "sent-without-sampling",
            "the endpoint refuses {parameter}; it is left out, and samples are drawn with the "
            "endpoint's default",
            parameter=name,
        )
    if name in HINTS:
        return Sentence(
            "sent-without-hint",
            "the endpoint refuses {parameter}; it is left out, and THINKING may have no effect",
            parameter=name,
        )
    return Sentence(
        "sent-without", "the endpoint refuses {parameter}; it is left out", parameter=name
    )
