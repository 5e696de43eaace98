"""`python -m orchestrator.api`: serve the HTTP API until it is stopped."""

from __future__ import annotations

from functools import partial

import uvicorn

from contract.settings import read_settings
from contract.stand_in import refuse_to_start
from orchestrator import logs
from orchestrator.api.app import STOP_S, create_app
from orchestrator.jobs.prompting import format_fault
from orchestrator.settings import ApiSettings


def main() -> None:
    refuse = partial(refuse_to_start, "API", 8080)
    settings = read_settings(ApiSettings, refuse)
    if fault := format_fault(settings.prompt_format):
        refuse(fault)
    try:
        settings.data_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        refuse(f"DATA_DIR: {settings.data_dir} cannot be made: {error.strerror}")
    logs.configure(settings.log_format)
    uvicorn.run(
        create_app(settings),
        host=settings.api_host,
        port=settings.api_port,
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=STOP_S,
    )


if __name__ == "__main__":
    main()
