"""Keeps the published model served: starts vLLM, checks it, and switches to a newer model.

Jobs that began with the old weights are answered by them: a newer model takes over once no request
has come for a while. Later jobs ask for the new weights by their digest and wait. If there is room,
the newer model's server starts beside the old one and takes over without a gap. If not, it does
beforehand what needs no GPU. At SIGTERM, running requests may end first.
"""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NamedTuple

from contract import CONTRACT_FILE, ContractError
from contract.published import CURRENT
from contract.stand_in import Kind
from contract.tenancy import AT_WORK, NO_TRAINER, what_trains
from inference.errors import RefusedError
from inference.front import SAY_EVERY_S, Front, listen
from inference.host import Host, this_host
from inference.model_server import DiedEarlyError, ModelServer
from inference.settings import Settings

log = logging.getLogger("inference")

POLL_S = 1.0
# A newer model takes over after this time without a request. It is longer than a job's pause
# between two shards.
IDLE_S = 15.0
RESTART_S = 10.0
# After so many deaths in a row before it was ready, the reason is told to clients instead.
MOST_EARLY_DEATHS = 3
RETRY_S = 600.0


def serve(settings: Settings) -> None:
    """Serve the published model until SIGTERM, SIGINT or SIGHUP."""
    stop = threading.Event()
    with _signals(stop):
        listening = listen(settings.inference_host, settings.inference_port, stop)
        if listening is not None:
            with Front(listening) as front:
                Launcher(settings, front).run(stop)
    log.info("stopped")


@contextmanager
def _signals(stop: threading.Event) -> Iterator[None]:
    def handle(number: int, frame: FrameType | None) -> None:
        stop.set()

    stops = [signal.SIGTERM, signal.SIGINT]
    # The server has a process group of its own, so a closed terminal does not end it.
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as under nohup
        stops.append(signal.SIGHUP)
    before = {number: signal.signal(number, handle) for number in stops}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Refusal(NamedTuple):
    """A model is not started before `until_s` (monotonic), and clients are told `text`."""

    model: Path
    text: str
    kind: Kind
    until_s: float


class Launcher:
    """Compares what is published with what is served, once a second.

    `_serving` gets the requests. `_next` is the published model's server before it takes over. It
    is held (only its libraries are imported), or it starts.
    """

    def __init__(self, settings: Settings, front: Front) -> None:
        self._settings, self._front = settings, front
        self._current = settings.models_dir / settings.model_name / CURRENT
        self._serving: ModelServer | None = None
        self._next: ModelServer | None = None
        self._host: Host | None = None
        self._refusal: _Refusal | None = None
        self._deaths = 0
        self._died_beside: set[Path] = set()
        self._passed_over: Path | None = None
        self._quiet_since_s: float | None = None
        self._gap_since_s: float | None = None
        self._told_at_s = float("-inf")

    def run(self, stop: threading.Event) -> None:
        """Serve until `stop` is set."""
        try:
            while not stop.is_set():
                self._step()
                stop.wait(POLL_S)
        finally:
            self._tell("the server is being stopped", "starting")
            for server in (self._serving, self._next):  # both at once: a stop may take a while
                if server is not None:
                    server.ask_to_end()
            self._drop_next()
            self._stop_serving(None)

    def _step(self) -> None:
        if self._serving is not None and (code := self._serving.engine.exit_code()) is not None:
            ended = f"the server ended with exit code {code}; it is started again"
            log.error(ended)
            self._stop_serving(ended)
        waits_for = self._not_yet()
        wanted = None if waits_for else self._current.resolve()
        if self._next is not None and self._next.model != wanted:
            log.info(
                "the start of %s is broken off: %s",
                self._next.contract.digest,
                waits_for or "another model is published",
            )
            self._drop_next()
        if wanted is not None and (self._serving is None or self._serving.model != wanted):
            self._go_on(wanted)
            return
        self._quiet_since_s = None
        if self._serving is None:
            self._tell(str(waits_for), "starting")

    def _not_yet(self) -> str | None:
        """The reason why no server may start now; None if one may."""
        settings, current = self._settings, self._current
        if not (current / CONTRACT_FILE).is_file():
            return f"waiting for a published model in {current}: {what_trains(settings.models_dir)}"
        if settings.wait_for_trainer and what_trains(settings.models_dir) == AT_WORK:
            return f"{current.resolve().name} is served once the trainer has ended"
        return None

    def _go_on(self, wanted: Path) -> None:
        """One step towards serving `wanted`."""
        if self._serving is not None and self._settings.engine == "transformers":
            self._pass_over(wanted)
            return
        refusal = self._refusal
        if refusal and refusal.model == wanted and time.monotonic() < refusal.until_s:
            if self._serving is None or (refusal.kind == "unavailable" and self._is_idle()):
                self._tell(refusal.text, refusal.kind)
                self._stop_serving(None)
            return
        try:
            if self._next is None:
                self._begin(wanted)
            self._advance()
        except (RefusedError, ContractError) as error:
            # a host may change, but what a server answers to the checks does not
            until_s = float("inf") if self._next else time.monotonic() + RETRY_S
            self._drop_next()
            log.error(str(error))
            self._refusal = _Refusal(wanted, str(error), "unavailable", until_s)
        except DiedEarlyError as error:
            self._after_death(wanted, str(error))
        except OSError as error:  # a full disk, or a volume that cannot be read for a while
            self._after_death(wanted, f"the server cannot be started ({error})")

    def _pass_over(self, wanted: Path) -> None:
        """transformers' server does not report its requests, so it is not known when jobs end."""
        if self._passed_over != wanted:
            self._passed_over = wanted
            log.info(
                "%s is published; with ENGINE=transformers it is served after a restart",
                wanted.name,
            )

    def _begin(self, wanted: Path) -> None:
        """Plan the server of a model that is to take over, and start its process."""
        if (ended := what_trains(self._settings.models_dir)) not in (AT_WORK, NO_TRAINER):
            log.warning("%s; the model published before it is served", ended)
        host = this_host()
        if self._serving is None or self._host is None:
            self._host, self._next = host, ModelServer(self._settings, wanted, host, None)
        else:
            has_died = wanted in self._died_beside
            self._next = ModelServer(self._settings, wanted, self._host, None if has_died else host)
            if has_died:
                self._next.waits_because = "it died beside the old one"
            self._quiet_since_s = None
            log.info("%s is published; it is served once no job asks any more", wanted.name)
            why = self._next.waits_because
            log.info(
                "its server starts beside the old one, so there is no time without a server"
                if why is None
                else f"its server starts once the old one has ended, because {why}"
            )
        self._next.start()

    def _advance(self) -> None:
        """Bring `_next` as far as it may go now.

        Raises:
            DiedEarlyError, RefusedError: as `ModelServer.is_ready`.
        """
        coming, serving = self._next, self._serving
        assert coming is not None
        is_held = serving is not None and coming.waits_because is not None
        if not is_held and not coming.is_released:
            coming.release()
        is_idle = serving is None or self._is_idle()  # the old one may be idle long before
        if coming.is_ready() and not is_held:
            if is_idle:
                self._switch(coming)
        elif serving is None:
            self._tell(coming.progress(), "starting")
        elif is_held and coming.engine.has_imported and is_idle:
            self._gap_since_s = time.monotonic()
            self._stop_serving(coming.progress())
            coming.release()

    def _switch(self, coming: ModelServer) -> None:
        self._front.pass_to(coming.port)
        coming.announce()
        if self._gap_since_s is not None:
            gap_s = time.monotonic() - self._gap_since_s
            log.info("there was no server for %.0f s, from the old one's end", gap_s)
        self._stop_serving(None)
        self._serving, self._next = coming, None
        self._deaths, self._gap_since_s, self._quiet_since_s = 0, None, None

    def _after_death(self, wanted: Path, reason: str) -> None:
        self._drop_next()
        if self._serving is not None and wanted not in self._died_beside:
            log.warning("%s; it is started again once the old server has ended", reason)
            self._died_beside.add(wanted)
            return
        if self._refusal is None or self._refusal.model != wanted:
            self._deaths = 0  # another model died
        self._deaths += 1
        now_s = time.monotonic()
        if self._deaths % MOST_EARLY_DEATHS:
            log.error("%s; it is started again", reason)
            self._refusal = _Refusal(
                wanted, f"{reason}; it is started again", "starting", now_s + RESTART_S
            )
            return
        told = (
            f"{wanted.name} is not served: {MOST_EARLY_DEATHS} times in a row {reason}; it is "
            f"tried again every {RETRY_S / 60:.0f} min, and when another model is published"
        )
        log.error(told)
        self._refusal = _Refusal(wanted, told, "unavailable", now_s + RETRY_S)

    def _is_idle(self) -> bool:
        """True if the old server has had no request for `IDLE_S`."""
        assert self._serving is not None
        now_s = time.monotonic()
        if self._serving.client.busy():
            self._quiet_since_s = None
            return False
        if self._quiet_since_s is None:
            self._quiet_since_s = now_s
        return now_s - self._quiet_since_s >= IDLE_S

    def _tell(self, text: str, kind: Kind) -> None:
        """Answer requests with this text. A start's progress is logged seldom."""
        self._front.tell(text, kind)
        now_s = time.monotonic()
        if kind == "starting" and now_s - self._told_at_s > SAY_EVERY_S:
            self._told_at_s = now_s
            log.info(text)

    def _drop_next(self) -> None:
        if self._next is not None:
            self._next.stop()
            self._next = None

    def _stop_serving(self, told: str | None) -> None:
        """Stop the old server. From now on clients are told `told`, if it is given."""
        if self._serving is not None:
            if told is not None:
                self._tell(told, "starting")
            self._serving.stop()
            self._serving = None
