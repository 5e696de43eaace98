"""`python -m inference`: wait for a published model and keep it served."""

from __future__ import annotations

import logging
import sys
from functools import partial

from contract.settings import read_settings
from contract.stand_in import refuse_to_start
from inference.serving import serve
from inference.settings import Settings


def main() -> None:
    logging.basicConfig(
        level=logging.INFO,
        format="%(asctime)s %(name)s %(levelname)s %(message)s",
        stream=sys.stdout,
    )
    serve(read_settings(Settings, partial(refuse_to_start, "INFERENCE", 8000)))


if __name__ == "__main__":
    main()
