"""The files of others are those that were taken, and their licences lie beside them."""

from __future__ import annotations

import hashlib
import re

from orchestrator.page import FILES

VENDOR = FILES / "vendor"
SHA256 = {
    "lit-html.js": "22115ca1002e4afc0dd2cb208f28d9c71a577a8989d4185028e26b29676e7842",
    "uPlot.js": "5dd9b3281aa64b461b42d9945f6adb2649d346502b12281a9ae0d46599a80eba",
    "uPlot.css": "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04",
}


def test_each_file_is_the_one_that_was_taken() -> None:
    for name, digest in SHA256.items():
        assert hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() == digest


def test_each_has_its_licence_and_its_version_is_told() -> None:
    told = (VENDOR / "README.md").read_text()
    for name in SHA256:
        row = next(line for line in told.splitlines() if f"`{name}`" in line)
        assert re.search(r"\d+\.\d+\.\d+", row)
        licence = re.search(r"`(LICENSE-\S+)`", row)
        assert licence is not None
        assert (VENDOR / licence[1]).stat().st_size > 500
    assert {path.name for path in VENDOR.iterdir()} == {
        *SHA256,
        "README.md",
        "LICENSE-lit-html",
        "LICENSE-uPlot",
    }
