from collections.abc import Iterator
from pathlib import Path

import pytest

from launchers import Launcher


@pytest.fixture
def launcher(root: Path, tmp_path: Path) -> Iterator[Launcher]:
    launcher = Launcher(root, tmp_path)
    yield launcher
    if launcher.process is not None and launcher.process.poll() is None:
        launcher.stop()
