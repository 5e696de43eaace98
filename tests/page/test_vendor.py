"""Vendored files are unchanged, and their licences are beside them."""

from __future__ import annotations

import hashlib
import re

from orchestrator.api.page import FILES

VENDOR = FILES / "vendor"
SHA256 = {
    "lit-html.js": "22115ca1002e4afc0dd2cb208f28d9c71a577a8989d4185028e26b29676e7842",
    "uPlot.js": "5dd9b3281aa64b461b42d9945f6adb2649d346502b12281a9ae0d46599a80eba",
    "uPlot.css": "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04",
    "swagger-ui-bundle.js": "e6a898692f2d768e807c3ba4626068a69a2c5dd960dd6c76f3e4d3a3de180af2",
    "swagger-ui.css": "a6a4cf68f069eb89984d5d43644e6a812e749df08d2b1320c6e06e6973847d10",
}


def test_each_vendored_file_is_unchanged() -> None:
    for name, digest in SHA256.items():
        assert hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() == digest


def test_each_vendored_file_has_a_licence_and_a_version() -> None:
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
        "LICENSE-swagger-ui",
        "LICENSE-uPlot",
    }
