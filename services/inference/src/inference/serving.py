"""Keeps the published model served: starts vLLM, checks it, and switches to a newer model.

It switches to a newer model once no request has come for a while. Until then, jobs that began with
the old weights are answered by them. Later jobs ask for the new weights by their digest and wait.
At SIGTERM, running requests may end first.
"""

from __future__ import annotations

import logging
import os
import shlex
import signal
import subprocess
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
from inference.host import this_host
from inference.launch import Launch, RefusedError, check_versions, launch
from inference.settings import Settings
from inference.weights import read_weights

log = logging.getLogger("inference")

POLL_S = 1.0
SAY_EVERY_S = 30.0
# A newer model takes over after this time without a request. It is longer than a job's pause
# between two shards.
IDLE_S = 15.0
RESTART_S = 10.0
# Time for vLLM itself to stop, in addition to the time for requests.
STOP_S = 20.0
ENDED = "the server ended with exit code %d; it is started again"


class StopRequested(BaseException):
    """SIGTERM or SIGINT was received."""


@contextmanager
def stop_requests() -> Iterator[None]:
    def stop(number: int, frame: FrameType | None) -> None:
        raise StopRequested

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def serve(settings: Settings) -> None:
    """Serve the published model until SIGTERM or SIGINT."""
    current = settings.models_dir / settings.model_name / CURRENT
    with stop_requests():
        try:
            while True:
                _wait_for_turn(settings, current)
                _serve_one(settings, current, current.resolve())
        except StopRequested:
            log.info("stopped")


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
            child = subprocess.Popen(argv, env=environment, cwd=folder)
            found = _watch(settings, current, model, contract, adapters, child)
    if found:
        _refuse(settings, current, model, f"{contract.digest} is not served: " + "; ".join(found))


def _watch(
    settings: Settings,
    current: Path,
    model: Path,
    contract: Contract,
    adapters: list[Adapter],
    child: subprocess.Popen[bytes],
) -> list[str]:
    """Check the server, and let it run until a newer model must be served or it has died. Returns
    the faults that the checks found.
    """
    server = Server(f"http://127.0.0.1:{settings.inference_port}", settings.inference_api_key)
    try:
        while not server.healthy():
            if child.poll() is not None:
                log.error(ENDED, child.returncode)
                time.sleep(RESTART_S)
                return []
            if _trainer_has_gpu(settings):
                log.info("a trainer has started; the server makes room for it")
                return []
            time.sleep(POLL_S)
        found = faults(server, contract, model)
        for adapter in adapters:
            wrong = reply_faults(server, adapter.model, adapter.name)
            found += [f"adapter {adapter.name}: {reason}" for reason in wrong]
        if child.poll() is not None:  # then the checks say nothing about the weights
            log.error(ENDED, child.returncode)
            time.sleep(RESTART_S)
            return []
        if not found:
            log.info(
                "%s is served as it was trained; %d recorded replies were compared",
                contract.digest,
                sum(len(recorded_replies(m)) for m in (model, *(a.model for a in adapters))),
            )
            _until_newer(current, model, child, server)
        return found
    finally:
        _stop(child, settings.drain_s + STOP_S)


def _until_newer(
    current: Path, model: Path, child: subprocess.Popen[bytes], server: Server
) -> None:
    """Return when the server has died, or when a newer model is published and no more requests
    come.

    transformers' server does not report its requests, so it keeps its model until a restart.
    """
    quiet_since: float | None = None
    said = False
    while child.poll() is None:
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
    log.error(ENDED, child.returncode)


def _refuse(settings: Settings, current: Path, model: Path, reason: str) -> None:
    """Answer requests with the reason until another model is published."""
    log.error(reason)
    with standing_in(settings.inference_host, settings.inference_port, lambda: reason):
        while current.resolve() == model:
            time.sleep(POLL_S)


def _stop(child: subprocess.Popen[bytes], within_s: float) -> None:
    if child.poll() is None:
        child.terminate()
        try:
            child.wait(within_s)
        except subprocess.TimeoutExpired:
            log.warning("the server did not end within %.0f s and was killed", within_s)
            child.kill()
            child.wait()


def table(planned: Launch) -> str:
    """The decisions and their reasons, in columns."""
    rows = planned.decisions
    wide, wider = (max(len(row[i]) for row in rows) for i in (0, 1))
    return "\n".join(f"  {what:{wide}}  {value:{wider}}  {why}" for what, value, why in rows)
