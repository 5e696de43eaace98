"""Names and checks for the page's tests: browser types, addresses, words, accessibility."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

OpenPage = Callable[..., Page]
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
ANOTHER_MACHINE = "quorum.example"  # the browser resolves this name to 127.0.0.1
LOCALES = {"en": "en-US", "zh": "zh-CN"}


def check_accessible(page: Page) -> None:
    """Check that axe-core finds nothing serious in the page as it is now."""
    found = Axe().run(page).response["violations"]
    serious = [one for one in found if one["impact"] in ("serious", "critical")]
    assert not serious, [(v["id"], [node["html"] for node in v["nodes"]][:3]) for v in serious]


def keep_screenshot(page: Page, folder: Path, name: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=folder / f"{name}.png", full_page=True)
