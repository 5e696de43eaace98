"""Real Chromium. Any message on a page's console fails the test."""

from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from orchestrator_parts import api, bench, server, settings, two_models
from page_names import ANOTHER_MACHINE, CHROMIUM, LOCALES, OpenPage

__all__ = ["api", "bench", "server", "settings", "two_models"]

FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    f"--host-resolver-rules=MAP {ANOTHER_MACHINE} 127.0.0.1",
]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser for each file of tests. Meanwhile Playwright's event loop runs in this process,
    and tests of other files run loops of their own.
    """
    found = next((path for name in CHROMIUM if (path := shutil.which(name))), None)
    assert found, f"the page's tests need one of {', '.join(CHROMIUM)} (apt-get install chromium)"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser: Browser) -> Iterator[OpenPage]:
    """Opens pages, each in its own profile. Any message on their consoles fails the test."""
    said: list[str] = []

    def start(
        url: str, language: str = "en", theme: str = "light", size: tuple[int, int] = (1280, 900)
    ) -> Page:
        context = browser.new_context(
            locale=LOCALES[language],
            color_scheme="dark" if theme == "dark" else "light",
            viewport={"width": size[0], "height": size[1]},
        )
        page = context.new_page()
        page.set_default_timeout(30_000)
        page.on("console", lambda message: said.append(f"{message.type}: {message.text}"))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(url)
        return page

    yield start
    for context in browser.contexts:
        context.close()
    # the browser itself logs a refusal that a test provokes
    faults = [line for line in said if not line.startswith(("info:", "verbose:", "debug:"))]
    assert not [line for line in faults if "Failed to load resource" not in line], faults
