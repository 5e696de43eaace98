"""The server of one published model: vLLM's process, from the plan of its start to its end."""

from __future__ import annotations

import logging
import os
import shlex
import socket
import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, suppress
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

from contract import Contract
from contract.published import recorded_replies
from inference.adapters import arguments, panel_of, prepare_adapters, why_no_voters
from inference.checks import Client, faults
from inference.engine import Engine
from inference.errors import RefusedError
from inference.front import LOOPBACK
from inference.host import Host
from inference.launch import Launch, check_versions, launch
from inference.progress import stage
from inference.room import lacks_room
from inference.settings import Settings
from inference.weights import read_weights

log = logging.getLogger("inference")

# Time for vLLM itself to stop, in addition to the time for requests.
STOP_S = 20.0
DYING_S = 30.0
POLL_S = 0.2


class DiedEarlyError(Exception):
    """The server ended before it was ready; the message is its exit code and its last error."""


class ModelServer:
    """A server of `model`, planned for `host`, which is the host without a server of ours.

    `now` is the host with the old server at work. `waits_because` is the reason why the old one
    must end first; None if this one may start beside it.

    Raises:
        RefusedError, ContractError: the model cannot be served here.
    """

    def __init__(self, settings: Settings, model: Path, host: Host, now: Host | None) -> None:
        self.model = model
        self.contract = Contract.load(model)
        check_versions(self.contract, version("transformers"))
        self.waits_because: str | None = None
        self.is_released = self._is_announced = False
        self._checks: Future[list[str]] | None = None
        self._compared = 0
        self._settings = settings
        self._released_at_s = 0.0
        self._engine: Engine | None = None
        self._last_start = settings.vllm_cache_root.expanduser() / "last_start_s"
        self._ends = ExitStack()
        try:
            self.port = self._ends.enter_context(_reserved_port()).getsockname()[1]
            self.client = Client(f"http://{LOOPBACK}:{self.port}", settings.inference_api_key)
            # no model's name begins with a dot
            self._folder = Path(self._ends.enter_context(TemporaryDirectory()))
            self._hub, adapters = self._folder / ".hub", self._folder / ".adapters"
            # a relative path, the same for every model of this name: it is part of the key under
            # which vLLM keeps what it compiled
            (self._folder / self.contract.model).symlink_to(model)
            self._hub.mkdir()
            weights = read_weights(model)

            def plan(host: Host) -> Launch:
                return launch(host, self.contract, weights, self.port, settings)

            self._planned = plan(host)
            if now is not None:
                self.waits_because = lacks_room(now, weights, settings, self._planned, plan)
                self._planned = self._planned if self.waits_because else plan(now)
            panel = panel_of(model)
            self._no_voters = why_no_voters(panel, settings) if panel else None
            self._adapters = prepare_adapters(
                settings.adapters,
                None if self._no_voters else panel,
                settings.models_dir.resolve(),
                model,
                adapters,
            )
            self._command = [*self._planned.command, *arguments(self._adapters)]
        except BaseException:
            self._ends.close()
            raise

    def start(self) -> None:
        """Start the process. It imports its libraries and waits for `release`."""
        log.info("serving %s\n%s", self.contract.digest, _table(self._planned))
        if self._no_voters:
            log.warning("%s", self._no_voters)
        log.info(shlex.join(self._command))
        environment = {
            **os.environ,
            "HF_HUB_CACHE": str(self._hub),
            **self._planned.environment,
        }
        self._engine = Engine(self._command, environment, self._folder)
        self._ends.callback(self._stop_engine)

    @property
    def engine(self) -> Engine:
        assert self._engine is not None
        return self._engine

    def release(self) -> None:
        """Let it load the weights."""
        self.is_released = True
        self._released_at_s = time.monotonic()
        self.engine.release()

    def is_ready(self) -> bool:
        """True once it answers and has passed the checks.

        Raises:
            DiedEarlyError: it has ended.
            RefusedError: the checks found that it does not serve the trained weights.
        """
        self._check_alive()
        if self._checks is None:
            if self.client.healthy():
                pool = ThreadPoolExecutor(1)
                self._checks = pool.submit(self._faults)
                pool.shutdown(wait=False)
            return False
        if not self._checks.done():
            return False
        self._check_alive()  # if it died, the checks say nothing about the weights
        if found := self._checks.result():
            raise RefusedError(f"{self.contract.digest} is not served: " + "; ".join(found))
        return True

    def _faults(self) -> list[str]:
        """Run the checks. They take a while, so they have a thread of their own: a stop is noticed
        in that time.
        """
        found = faults(self.client, self.contract, self.model, self.contract.served_name)
        for adapter in self._adapters:
            own = Contract.load(adapter.model)
            wrong = faults(self.client, own, adapter.model, adapter.name)
            found += [f"adapter {adapter.name}: {reason}" for reason in wrong]
        if found:
            self._wait_for_death()
        else:
            compared = (self.model, *(adapter.model for adapter in self._adapters))
            self._compared = sum(len(recorded_replies(model)) for model in compared)
            with suppress(OSError):
                self._last_start.parent.mkdir(parents=True, exist_ok=True)
                self._last_start.write_text(f"{self._since_release_s():.0f}\n")
        return found

    def _wait_for_death(self) -> None:
        """vLLM answers with errors for a moment if its engine has died, and then ends."""
        until_s = time.monotonic() + DYING_S
        while self.engine.exit_code() is None and not self.client.healthy():
            if time.monotonic() > until_s:
                break
            time.sleep(POLL_S)

    def announce(self) -> None:
        """Log that it gets the requests from now on."""
        self._is_announced = True
        quantization = self._settings.quantization
        log.info(
            "%s is served %s; %d recorded replies were compared",
            self.contract.digest,
            f"in {quantization}, so not exactly as it was trained"
            if quantization
            else "as it was trained",
            self._compared,
        )

    def _check_alive(self) -> None:
        if (code := self.engine.exit_code()) is not None:
            raise DiedEarlyError(
                f"the server ended with exit code {code} before it was ready "
                f"({self.engine.last_error()})"
            )

    def _since_release_s(self) -> float:
        return time.monotonic() - self._released_at_s

    def _usual_start_s(self) -> int | None:
        """How long the last start here took, of whatever model; None if it is not known."""
        try:
            return int(self._last_start.read_text())
        except (OSError, ValueError):
            return None

    def progress(self) -> str:
        """What the start has reached, for people."""
        reached = stage(self.engine.output)
        if not self.is_released:
            reached = "waiting for the old one's end"
        elif self._checks is not None:
            reached = "checking its replies"
        so_far_s = self._since_release_s() if self.is_released else 0.0
        usual_s = self._usual_start_s()
        last = "" if usual_s is None else f", and the last start here took {usual_s} s"
        name = self.contract.served_name
        return f"{name} is being started: {reached}; {so_far_s:.0f} s so far{last}"

    def ask_to_end(self) -> None:
        """Begin what `stop` waits for."""
        if self._engine is not None:
            self._engine.ask_to_end()

    def stop(self) -> None:
        """Let running requests end within DRAIN_S, and end the process."""
        self._ends.close()

    def _stop_engine(self) -> None:
        self.engine.stop(STOP_S + (self._settings.drain_s if self._is_announced else 0))


def _reserved_port() -> socket.socket:
    """A socket that keeps a port for the server, which binds it too: both may use it again, and
    this one does not listen.
    """
    kept = socket.socket()
    kept.bind((LOOPBACK, 0))
    kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return kept


def _table(planned: Launch) -> str:
    """The decisions and their reasons, in columns."""
    rows = planned.decisions
    wide, wider = (max(len(row[i]) for row in rows) for i in (0, 1))
    return "\n".join(f"  {what:{wide}}  {value:{wider}}  {why}" for what, value, why in rows)
