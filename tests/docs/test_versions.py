"""The four packages have one version, and the changelog names it."""

import re
import tomllib
from pathlib import Path

PACKAGES = (
    "contract",
    "services/trainer",
    "services/inference",
    "services/orchestrator",
)


def test_four_packages_and_the_changelog_have_one_version(root: Path) -> None:
    files = [root / package / "pyproject.toml" for package in PACKAGES]
    versions = {tomllib.loads(path.read_text())["project"]["version"] for path in files}
    newest = re.search(r"^## (\d+\.\d+\.\d+) - ", (root / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert newest is not None
    assert versions == {newest[1]}
