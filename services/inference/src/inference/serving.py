"""Keeps the published model served: starts vLLM, checks it, and switches to a newer model.

It switches to a newer model once no request has come for a while. Until then, jobs that began with
the old weights are answered by them. Later jobs ask for the new weights by their digest and wait.
At SIGTERM, running requests may end first.
"""

from __future__ import annotations

import errno
import logging
import os
import shlex
import signal
import socket
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from types import FrameType

from contract import CONTRACT_FILE, Contract, ContractError
from contract.published import CURRENT, recorded_replies
from contract.stand_in import standing_in
from contract.tenancy import AT_WORK, NO_TRAINER, what_trains
from inference.adapters import Adapter, arguments, prepare_adapters
from inference.checks import Server, faults, reply_faults
from inference.engine import Engine
from inference.host import this_host
from inference.launch import Launch, RefusedError, check_versions, launch
from inference.settings import Settings
from inference.weights import read_weights

log = logging.getLogger("inference")

STOPS = (signal.SIGTERM, signal.SIGINT)
POLL_S = 1.0
SAY_EVERY_S = 30.0
# A newer model takes over after this time without a request. It is longer than a job's pause
# between two shards.
IDLE_S = 15.0
RESTART_S = 10.0
# Time for vLLM itself to stop, in addition to the time for requests.
STOP_S = 20.0
ENDED = "the server ended with exit code %d; it is started again"
# After so many deaths in a row before it was ready, the reason is told to clients instead.
MOST_EARLY_DEATHS = 3
RETRY_S = 600.0


class StopRequested(BaseException):
    """SIGTERM or SIGINT was received."""


class DiedEarlyError(Exception):
    """The server ended before it was ready; the message is its exit code and its last error."""


@contextmanager
def stop_requests() -> Iterator[None]:
    def stop(number: int, frame: FrameType | None) -> None:
        for known in STOPS:  # a second one would break off the stop, and leave the server running
            signal.signal(known, signal.SIG_IGN)
        raise StopRequested

    before = {number: signal.signal(number, stop) for number in STOPS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def serve(settings: Settings) -> None:
    """Serve the published model until SIGTERM or SIGINT."""
    current = settings.models_dir / settings.model_name / CURRENT
    deaths = 0
    with stop_requests():
        try:
            while True:
                _wait_for_port(settings)
                _wait_for_turn(settings, current)
                model = current.resolve()
                try:
                    _serve_one(settings, current, model)
                except DiedEarlyError as error:
                    deaths += 1
                    deaths %= MOST_EARLY_DEATHS
                    _after_death(settings, current, model, str(error), is_last=deaths == 0)
                else:
                    deaths = 0
        except StopRequested:
            log.info("stopped")


def _after_death(
    settings: Settings, current: Path, model: Path, reason: str, *, is_last: bool
) -> None:
    if not is_last:
        log.error("%s; it is started again", reason)
        time.sleep(RESTART_S)
        return
    again = f"it is tried again every {RETRY_S / 60:.0f} min, and when another model is published"
    told = f"{model.name} is not served: {MOST_EARLY_DEATHS} times in a row {reason}; {again}"
    _refuse(settings, current, model, told, for_s=RETRY_S)


def _wait_for_port(settings: Settings) -> None:
    """Return once the port is free. Another program's replies would be taken for our server's."""
    said_at = float("-inf")
    while reason := _port_fault(settings.inference_host, settings.inference_port):
        if time.monotonic() - said_at > SAY_EVERY_S:
            said_at = time.monotonic()
            log.error(reason)
        time.sleep(POLL_S)


def _port_fault(host: str, port: int) -> str | None:
    """The reason why nothing can listen on the port now; None if it is free."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            remedy = "look at INFERENCE_HOST and INFERENCE_PORT"
            if error.errno == errno.EADDRINUSE:
                remedy = "end the program that uses it, or set INFERENCE_PORT"
            return f"port {port} of {host} cannot be used ({error.strerror}): {remedy}"
    return None


def _wait_for_turn(settings: Settings, current: Path) -> None:
    """Return once a model is published and the GPU is free. Before that, NVML is not called."""
    reason = _not_yet(settings, current)
    if reason is None:
        return
    with standing_in(settings.inference_host, settings.inference_port, lambda: str(reason)):
        said, said_at = "", float("-inf")
        while reason is not None:
            if reason != said or time.monotonic() - said_at > SAY_EVERY_S:
                said, said_at = reason, time.monotonic()
                log.info(reason)
            time.sleep(POLL_S)
            reason = _not_yet(settings, current)


def _not_yet(settings: Settings, current: Path) -> str | None:
    """The reason why the server may not start now; None if it may."""
    if not (current / CONTRACT_FILE).is_file():
        return f"waiting for a published model in {current}: {what_trains(settings.models_dir)}"
    if _trainer_has_gpu(settings):
        return f"{current.resolve().name} is served once the trainer has ended"
    return None


def _trainer_has_gpu(settings: Settings) -> bool:
    return settings.wait_for_trainer and what_trains(settings.models_dir) == AT_WORK


def _serve_one(settings: Settings, current: Path, model: Path) -> None:
    """Serve the model in `model` until a newer one replaces it or its server dies."""
    try:
        contract = Contract.load(model)
        check_versions(contract, version("transformers"))
        planned = launch(this_host(), contract, read_weights(model), model, settings)
    except (RefusedError, ContractError) as error:
        _refuse(settings, current, model, str(error))
        return
    found: list[str] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / contract.model).symlink_to(model)
        (folder / "hub").mkdir()
        try:
            adapters = prepare_adapters(
                settings.adapters, settings.models_dir.resolve(), model, folder / "adapters"
            )
            argv = [*planned.argv, *arguments(adapters)]
        except RefusedError as error:
            found = [str(error)]
        else:
            if (ended := what_trains(settings.models_dir)) not in (AT_WORK, NO_TRAINER):
                log.warning("%s; the model published before it is served", ended)
            log.info("serving %s\n%s", contract.digest, table(planned))
            log.info(shlex.join(argv))
            environment = {**os.environ, "HF_HUB_CACHE": f"{folder}/hub", **planned.environment}
            child = Engine(argv, environment, folder)
            found = _watch(settings, current, model, contract, adapters, child)
    if found:
        _refuse(settings, current, model, f"{contract.digest} is not served: " + "; ".join(found))


def _watch(
    settings: Settings,
    current: Path,
    model: Path,
    contract: Contract,
    adapters: list[Adapter],
    child: Engine,
) -> list[str]:
    """Check the server, and let it run until a newer model must be served or it has died. Returns
    the faults that the checks found.

    Raises:
        DiedEarlyError: it ended before it was ready.
    """
    server = Server(f"http://127.0.0.1:{settings.inference_port}", settings.inference_api_key)
    try:
        while not server.healthy():
            _check_alive(child)
            if _trainer_has_gpu(settings):
                log.info("a trainer has started; the server makes room for it")
                return []
            time.sleep(POLL_S)
        found = faults(server, contract, model)
        for adapter in adapters:
            wrong = reply_faults(server, adapter.model, adapter.name)
            found += [f"adapter {adapter.name}: {reason}" for reason in wrong]
        _check_alive(child)  # if it died, the checks say nothing about the weights
        if not found:
            log.info(
                "%s is served %s; %d recorded replies were compared",
                contract.digest,
                f"in {settings.quantization}, so not exactly as it was trained"
                if settings.quantization
                else "as it was trained",
                sum(len(recorded_replies(m)) for m in (model, *(a.model for a in adapters))),
            )
            _until_newer(current, model, child, server)
        return found
    finally:
        child.stop(settings.drain_s + STOP_S)


def _check_alive(child: Engine) -> None:
    """Raises DiedEarlyError if the server has ended."""
    if (code := child.exit_code()) is not None:
        raise DiedEarlyError(
            f"the server ended with exit code {code} before it was ready ({child.last_error()})"
        )


def _until_newer(current: Path, model: Path, child: Engine, server: Server) -> None:
    """Return when the server has died, or when a newer model is published and no more requests
    come.

    transformers' server does not report its requests, so it keeps its model until a restart.
    """
    quiet_since: float | None = None
    said = False
    while (code := child.exit_code()) is None:
        time.sleep(POLL_S)
        if current.resolve() == model or not (current / CONTRACT_FILE).is_file():
            quiet_since = None
            continue
        if not said:
            said = True
            log.info("%s is published; it is served once no job asks any more", current.resolve())
        if server.busy():
            quiet_since = None
        elif quiet_since is None:
            quiet_since = time.monotonic()
        elif time.monotonic() - quiet_since >= IDLE_S:
            return
    log.error(ENDED, code)


def _refuse(
    settings: Settings, current: Path, model: Path, reason: str, for_s: float = float("inf")
) -> None:
    """Answer requests with the reason for that time, or until another model is published."""
    log.error(reason)
    _wait_for_port(settings)
    until = time.monotonic() + for_s
    with standing_in(settings.inference_host, settings.inference_port, lambda: reason):
        while current.resolve() == model and time.monotonic() < until:
            time.sleep(POLL_S)


def table(planned: Launch) -> str:
    """The decisions and their reasons, in columns."""
    rows = planned.decisions
    wide, wider = (max(len(row[i]) for row in rows) for i in (0, 1))
    return "\n".join(f"  {what:{wide}}  {value:{wider}}  {why}" for what, value, why in rows)
