"""The list of jobs: found by name, file, metadata and status, and rows whose columns stay."""

from __future__ import annotations

import json

import httpx2
import pytest
from playwright.sync_api import Page, expect
from starlette.responses import JSONResponse

from page_names import OpenPage, check_accessible
from page_words import words
from problem_files import problem_file
from stub_server import StubServer
from workers import Bench, until

LANGUAGES = ("en", "zh")
SIZES = ((1280, 900), (390, 844))


def post(api: httpx2.Client, filename: str, name: str, **metadata: str) -> str:
    form = {"name": name, "metadata": json.dumps(metadata)}
    reply = api.post("/jobs", files={"file": (filename, problem_file(2))}, data=form)
    assert reply.status_code == 202, reply.text
    job_id: str = reply.json()["id"]
    return job_id


def listed(page: Page) -> list[str]:
    return page.locator(".job .what > a").all_inner_texts()


@pytest.mark.parametrize("language", LANGUAGES)
def test_jobs_are_found_by_name_file_metadata_and_status(
    api: httpx2.Client, open_page: OpenPage, language: str
) -> None:
    w = words(language)
    post(api, "law.jsonl", "law, first try", subject="law", run="1")
    post(api, "law.jsonl", "law, second try", subject="law", run="2")
    ended = post(api, "tax.jsonl", "tax", subject="tax")
    api.post(f"/jobs/{ended}/cancel")
    until(lambda: api.get(f"/jobs/{ended}").json()["status"] == "cancelled")
    page = open_page(str(api.base_url), language)
    rows = page.locator(".job")
    expect(rows).to_have_count(3)
    assert listed(page) == ["tax", "law, second try", "law, first try"]
    expect(rows.nth(1)).to_contain_text("law.jsonl")

    page.get_by_label(w["jobs.filter.name"], exact=True).fill("LAW")
    expect(rows).to_have_count(2)
    page.locator("#filter-pair").fill("run=2")
    page.keyboard.press("Enter")
    expect(rows).to_have_count(1)
    assert listed(page) == ["law, second try"]
    assert page.url.endswith("#/?name=LAW&metadata=run%3D2")
    check_accessible(page)

    page.get_by_role("button", name=w["jobs.filter.clear"]).click()
    expect(rows).to_have_count(3)
    assert page.url.endswith("#/")
    page.locator("#filter-filename").fill("tax")
    expect(rows).to_have_count(1)
    page.locator("#filter-filename").fill("")
    expect(rows).to_have_count(3)
    page.get_by_role("button", name=w["status.cancelled"], exact=True).click()
    expect(rows).to_have_count(1)
    assert listed(page) == ["tax"]
    page.get_by_role("button", name=w["status.in_progress"], exact=True).click()
    expect(rows).to_have_count(3)
    rows.nth(0).get_by_label(w["pairs.only"].replace("{pair}", "subject=tax")).click()
    expect(rows).to_have_count(1)


@pytest.mark.parametrize("language", LANGUAGES)
def test_filters_are_kept_in_the_address(
    api: httpx2.Client, open_page: OpenPage, language: str
) -> None:
    w = words(language)
    post(api, "law.jsonl", "law & order = 法", note="a=b")
    post(api, "tax.jsonl", "tax")
    page = open_page(
        f"{api.base_url}/#/?name=order+%3D+法&metadata=note%3Da%3Db&status=in_progress", language
    )
    rows = page.locator(".job")
    expect(rows).to_have_count(1)
    expect(page.locator("#filter-name")).to_have_value("order = 法")
    chip = page.get_by_role("button", name=w["status.in_progress"], exact=True)
    expect(chip).to_have_attribute("aria-pressed", "true")
    page.reload()
    expect(rows).to_have_count(1)
    expect(page.locator(".job-filters .pair")).to_contain_text("note=a=b")
    check_accessible(page)
    page.locator(".job .what > a").click()
    expect(page.locator("h1")).to_contain_text("law & order = 法")
    page.go_back()
    expect(rows).to_have_count(1)
    page.get_by_role("link", name=w["nav.jobs"], exact=True).click()
    expect(rows).to_have_count(2)
    expect(page.locator("#filter-name")).to_have_value("")


def test_filters_are_set_and_removed_by_keyboard(api: httpx2.Client, open_page: OpenPage) -> None:
    """Focus goes to a field beside a button that disappears."""
    w = words("en")
    post(api, "law.jsonl", "law", run="1")
    page = open_page(f"{api.base_url}/#/?metadata=run%3D1&metadata=a%3Db", theme="dark")
    expect(page.locator(".empty")).to_be_visible()
    check_accessible(page)
    page.get_by_label(w["pairs.remove"].replace("{pair}", "a=b")).press("Enter")
    expect(page.locator("#filter-pair")).to_be_focused()
    expect(page.locator(".job")).to_have_count(1)
    page.get_by_role("button", name=w["status.failed"], exact=True).press("Space")
    expect(page.locator(".job")).to_have_count(0)
    page.locator(".statuses").get_by_role("button", name=w["jobs.filter.clear"]).press("Enter")
    expect(page.locator("#filter-name")).to_be_focused()
    expect(page.locator(".job")).to_have_count(1)
    assert page.url.endswith("#/")


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_filter_without_a_hit_says_so(
    api: httpx2.Client, open_page: OpenPage, language: str
) -> None:
    w = words(language)
    page = open_page(str(api.base_url), language)
    expect(page.locator(".empty")).to_have_text(w["jobs.none"])
    post(api, "law.jsonl", "law")
    page.reload()
    expect(page.locator(".job")).to_have_count(1)
    page.locator("#filter-name").fill("nothing of the kind")
    expect(page.locator(".empty p")).to_have_text(w["jobs.nohit"])
    check_accessible(page)
    page.locator(".empty").get_by_role("button", name=w["jobs.filter.clear"]).click()
    expect(page.locator(".job")).to_have_count(1)


@pytest.mark.parametrize("language", LANGUAGES)
def test_filters_that_cannot_be_taken_are_named(
    api: httpx2.Client, open_page: OpenPage, language: str
) -> None:
    w = words(language)
    post(api, "law.jsonl", "law")
    page = open_page(f"{api.base_url}/#/?metadata=nopair", language)
    expect(page.get_by_role("alert")).to_contain_text("nopair")
    expect(page.locator(".job")).to_have_count(0)
    check_accessible(page)
    page.get_by_label(w["pairs.remove"].replace("{pair}", "nopair")).click()
    expect(page.locator(".job")).to_have_count(1)
    expect(page.get_by_role("alert")).to_have_count(0)
    entry = page.locator("#filter-pair")
    entry.fill("nopair")
    page.keyboard.press("Enter")
    assert entry.evaluate("one => one.validationMessage") == w["pairs.write"]
    assert page.url.endswith("#/")


def columns(page: Page) -> set[tuple[tuple[float, float], ...]]:
    """The left and right edges of the parts of each row."""
    found = page.evaluate(
        "[...document.querySelectorAll('.job')].map((row) => [...row.children].map((part) => {"
        " const box = part.getBoundingClientRect(); return [box.left, box.right]; }))"
    )
    return {tuple(tuple(part) for part in row) for row in found}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("language", LANGUAGES)
def test_rows_keep_their_columns_whatever_buttons_they_have(
    server: StubServer,
    bench: Bench,
    api: httpx2.Client,
    open_page: OpenPage,
    language: str,
    size: tuple[int, int],
) -> None:
    w = words(language)
    cancelled = post(api, "a.jsonl", "cancelled")
    api.post(f"/jobs/{cancelled}/cancel")
    until(lambda: api.get(f"/jobs/{cancelled}").json()["status"] == "cancelled")
    bench.start_worker()
    done = post(api, "b.jsonl", "done")
    until(lambda: api.get(f"/jobs/{done}").json()["status"] == "completed")
    server.fail = lambda body: JSONResponse({"error": "loading"}, 503)
    post(api, "c.jsonl", "running")
    page = open_page(str(api.base_url), language, size=size)
    expect(page.locator(".job")).to_have_count(3)
    buttons = page.locator(".job .actions").all_inner_texts()
    assert [text.split() for text in buttons] == [
        [w["job.cancel"]],
        [w["job.delete"]],
        [w["job.resume"], w["job.delete"]],
    ]
    before = columns(page)
    assert len(before) == 1
    tops = page.locator(".job").evaluate_all(
        "rows => rows.map((row) => row.querySelector('.actions').getBoundingClientRect().height)"
    )
    assert len(set(tops)) == 1
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    # no row has a button any more
    page.evaluate("document.querySelectorAll('.job button').forEach((one) => one.remove())")
    assert columns(page) == before


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("address", ["#/nowhere", "#/jobs/a/b", "#/model/XYZ", "nowhere/at/all"])
def test_an_address_without_a_page_says_so(
    api: httpx2.Client, open_page: OpenPage, address: str, language: str
) -> None:
    w = words(language)
    post(api, "law.jsonl", "law")
    page = open_page(f"{api.base_url}/{address}", language)
    expect(page.locator("h1")).to_have_text(w["nowhere.title"])
    expect(page.locator("main")).to_contain_text(address)
    expect(page.locator(".job")).to_have_count(0)
    assert page.title() == f"{w['nav.nowhere']} – Quorum"
    check_accessible(page)
    page.get_by_role("link", name=w["nav.back"]).click()
    expect(page.locator(".job")).to_have_count(1)


def test_programs_get_problem_details_for_an_unknown_path(api: httpx2.Client) -> None:
    for accept in ("*/*", "application/json"):
        reply = api.get("/nowhere", headers={"Accept": accept})
        assert reply.status_code == 404
        assert reply.headers["content-type"] == "application/problem+json"
    page = api.get("/nowhere", headers={"Accept": "text/html,*/*;q=0.8"})
    assert (page.status_code, page.headers["content-type"]) == (404, "text/html; charset=utf-8")
    job = api.get("/jobs/job_20261127000000000_00000000", headers={"Accept": "text/html"})
    assert job.headers["content-type"] == "application/problem+json"
