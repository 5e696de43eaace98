"""Folders from which servers run, with the same paths at every start.

vLLM keeps what it compiled under a key that contains the model's path. So a newer model is served
from the path of the older one, by a link. A lock keeps each folder to one running server.
"""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path


@contextmanager
def slot(cache: Path) -> Iterator[Path]:
    """An empty folder under `cache` that no other running server uses."""
    cache.mkdir(parents=True, exist_ok=True)
    for number in count():
        with (cache / f"{number}.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            folder = cache / str(number)
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            yield folder
            return
