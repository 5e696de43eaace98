"""/docs: the API's description, from our own files, with the page's policy."""

from __future__ import annotations

from urllib.parse import urlsplit

import httpx2
from playwright.sync_api import expect

from orchestrator.api.page import POLICY
from page_names import OpenPage


def test_the_docs_show_every_call_and_load_from_no_other_host(
    api: httpx2.Client, open_page: OpenPage
) -> None:
    page = open_page("about:blank")  # a console message, as for a violated policy, fails the test
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{api.base_url}/docs")
    expect(page.locator(".opblock").first).to_be_visible()
    paths = api.get("/openapi.json").json()["paths"]
    assert page.locator(".opblock").count() == sum(len(calls) for calls in paths.values())
    page.locator("#operations-default-list_jobs_jobs_get").click()
    page.get_by_role("button", name="Try it out").click()
    page.get_by_role("button", name="Execute").click()
    expect(page.locator(".live-responses-table .response .response-col_status")).to_contain_text(
        "200"
    )
    own = api.base_url.host
    assert [url for url in asked if urlsplit(url).scheme != "data" and own not in url] == []
    assert len(asked) > 4


def test_the_docs_have_the_pages_policy_and_redoc_is_off(api: httpx2.Client) -> None:
    reply = api.get("/docs")
    assert reply.headers["content-security-policy"] == POLICY
    assert "//" not in reply.text.replace("<!doctype html>", "")
    assert api.get("/redoc").status_code == 404
