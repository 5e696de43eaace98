"""A key that is asked for once, and texts of a model that are shown and never run."""

from __future__ import annotations

import httpx2
import pytest
from playwright.sync_api import Browser, expect

from orchestrator.page import POLICY
from orchestrator.settings import Settings
from page_names import OpenPage, check_accessible, words
from problem_files import problem_file
from stub_server import StubServer
from workers import Bench

KEY = "a-secret-of-the-test"
HOSTILE = (
    '<script>window.hacked = 1</script><img src=x onerror="window.hacked = 2">'
    "</pre><b>bold</b>&amp;\n答案是：**Ａ**"
)


@pytest.fixture
def settings(settings: Settings, request: pytest.FixtureRequest) -> Settings:
    key = KEY if "keyed" in request.keywords else ""
    return settings.model_copy(update={"api_key": key})


@pytest.mark.keyed
@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_key_is_asked_for_once_a_session(
    api: httpx2.Client, open_page: OpenPage, language: str
) -> None:
    w = words(language)
    page = open_page(str(api.base_url), language)
    expect(page.get_by_role("heading", name=w["key.title"])).to_be_visible()
    check_accessible(page)
    page.get_by_label(w["key.label"]).fill("another")
    page.get_by_role("button", name=w["key.enter"]).click()
    expect(page.get_by_role("alert")).to_be_visible()
    page.get_by_label(w["key.label"]).fill(KEY)
    page.get_by_role("button", name=w["key.enter"]).click()
    expect(page.get_by_role("heading", name=w["jobs.title"])).to_be_visible()
    page.reload()
    expect(page.get_by_role("heading", name=w["jobs.title"])).to_be_visible()
    assert KEY not in str(page.context.cookies())
    assert KEY not in page.evaluate("JSON.stringify([localStorage, sessionStorage])")
    cookie = page.context.cookies()[0]
    assert cookie["httpOnly"]
    assert cookie["sameSite"] == "Strict"
    assert cookie["expires"] == -1
    page.get_by_role("button", name=w["nav.signout"]).click()
    expect(page.get_by_role("heading", name=w["key.title"])).to_be_visible()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_what_a_model_writes_is_shown_as_text(
    server: StubServer, bench: Bench, api: httpx2.Client, open_page: OpenPage, theme: str
) -> None:
    server.reply = lambda prompt, seed: HOSTILE
    bench.start_worker()
    job_id = api.post("/jobs", files={"file": ("<b>f</b>.jsonl", problem_file(1, 1))}).json()["id"]
    page = open_page(f"{api.base_url}/#/jobs/{job_id}/questions/0", theme=theme)
    page.locator(".close").wait_for()
    while api.get(f"/jobs/{job_id}").json()["status"] != "completed":
        page.wait_for_timeout(200)
    page.reload()
    sample = page.locator(".sample pre").first
    expect(sample).to_have_text(HOSTILE)
    expect(page.locator(".sample mark").first).to_have_text("Ａ")
    assert page.locator(".sample b b, .sample img, .sample script").count() == 0
    assert page.evaluate("window.hacked") is None
    check_accessible(page)


def test_the_policy_lets_nothing_inline_run(api: httpx2.Client, browser: Browser) -> None:
    for path in ("/", "/page/app.js", "/page/style.css"):
        assert api.get(path).headers["content-security-policy"] == POLICY
    assert "unsafe" not in POLICY
    page = browser.new_page()
    page.goto(str(api.base_url))
    page.locator("h1").wait_for()
    ran = page.evaluate(
        "() => { const s = document.createElement('script'); s.textContent = 'window.ran = 1';"
        " document.body.append(s); return window.ran ?? null; }"
    )
    assert ran is None
    page.close()


def test_a_page_of_another_site_changes_nothing(api: httpx2.Client) -> None:
    file = {"file": ("f.jsonl", problem_file(1))}
    refused = api.post("/jobs", files=file, headers={"Origin": "http://elsewhere.example"})
    assert refused.status_code == 403
    assert api.get("/jobs").json()["data"] == []
    own = str(api.base_url).rstrip("/")
    assert api.post("/jobs", files=file, headers={"Origin": own}).status_code == 202
