"""`python -m orchestrator.worker`: start a worker, which answers one shard at a time."""

from __future__ import annotations

import resource

import orchestrator.worker.shards  # noqa: F401 # before forking, to save each shard the time
from contract.settings import end_with, read_settings
from orchestrator import logs
from orchestrator.coordination.working import work
from orchestrator.jobs.prompting import format_fault
from orchestrator.proxies import certificates
from orchestrator.settings import Settings

# Each connection to the model server is an open file.
OPEN_FILES = 1 << 16


def main() -> None:
    settings = read_settings(Settings)
    if fault := format_fault(settings.prompt_format):
        end_with(fault)
    logs.configure(settings.log_format)
    try:
        certificates()  # before forking, as the imports above
    except OSError as error:
        end_with(f"wrong setting: SSL_CERT_FILE cannot be read: {error}")
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if most == resource.RLIM_INFINITY else min(OPEN_FILES, most)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))
    work(settings.redis_url)


if __name__ == "__main__":
    main()
