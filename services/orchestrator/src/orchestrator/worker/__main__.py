"""`python -m orchestrator.worker`: start a worker, which answers one shard at a time."""

from __future__ import annotations

import orchestrator.worker.shards  # noqa: F401 # before forking, to save each shard the time
from contract.settings import read_settings
from orchestrator import logs
from orchestrator.coordination.working import work
from orchestrator.proxies import certificates
from orchestrator.settings import Settings


def main() -> None:
    settings = read_settings(Settings)
    logs.configure(settings.log_format)
    certificates()  # before forking, as the imports above
    work(settings.redis_url)


if __name__ == "__main__":
    main()
