"""`python -m inference`: wait for a published contract, then replace this process by vLLM."""

from __future__ import annotations

import json
import logging
import os
import shlex
import sys
import time
from pathlib import Path

from contract import CONTRACT_FILE, Contract, ContractError
from inference.host import this_host
from inference.launch import launch
from inference.settings import Settings

log = logging.getLogger("inference")

POLL_S = 1.0
SAY_EVERY_S = 30.0


def wait_for_contract(current: Path) -> None:
    """Return once `current` holds a contract; say now and then what is waited for."""
    said = float("-inf")
    while not (current / CONTRACT_FILE).is_file():
        if time.monotonic() - said > SAY_EVERY_S:
            said = time.monotonic()
            log.info("waiting for a published model in %s (the trainer writes it)", current)
        time.sleep(POLL_S)


def main() -> None:
    logging.basicConfig(
        level=logging.INFO,
        format="%(asctime)s %(name)s %(levelname)s %(message)s",
        stream=sys.stdout,
    )
    settings = Settings()
    current = settings.models_dir / settings.model_name / "current"
    wait_for_contract(current)
    model = current.resolve()  # these weights, also when another model is published later
    try:
        contract = Contract.load(model)
    except ContractError as error:
        log.error("%s", error)
        sys.exit(1)
    config = json.loads((model / "config.json").read_bytes())
    started = launch(this_host(), contract, model, config["max_position_embeddings"], settings)
    log.info("serving %s: %s", contract.digest, shlex.join(started.argv))
    os.execve(started.argv[0], started.argv, {**os.environ, **started.environment})


if __name__ == "__main__":
    main()
