"""Log lines of API and workers: one form, on standard output."""

from __future__ import annotations

import logging
import sys


def configure() -> None:
    form = "%(asctime)s %(name)s %(levelname)s %(message)s"
    logging.basicConfig(level=logging.INFO, format=form, stream=sys.stdout)
    for noisy in ("httpx2", "openai"):  # a line per request and retry
        logging.getLogger(noisy).setLevel(logging.WARNING)
