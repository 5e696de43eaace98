"""`python -m inference`: wait for a published model, and keep it served."""

from __future__ import annotations

import logging
import sys

from pydantic import ValidationError

from contract.stand_in import refuse_to_start
from inference.serving import serve
from inference.settings import Settings


def main() -> None:
    logging.basicConfig(
        level=logging.INFO,
        format="%(asctime)s %(name)s %(levelname)s %(message)s",
        stream=sys.stdout,
    )
    try:
        settings = Settings()
    except ValidationError as error:
        faults = (f"{str(e['loc'][0]).upper()}: {e['msg']}" for e in error.errors())
        refuse_to_start("\n".join(faults), "INFERENCE", 8000)
    serve(settings)


if __name__ == "__main__":
    main()
