"""Where a job's settings are shown: its name, its model, its prompt, what the endpoint refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx2
import pytest
from playwright.sync_api import expect
from starlette.responses import JSONResponse, Response

from contract import write_json
from page_names import OpenPage, check_accessible
from page_words import words
from problem_files import problem_file
from stub_server import StubServer
from workers import Bench, until

LANGUAGES = ("en", "zh")


def no_seed(body: dict[str, Any]) -> Response | None:
    if "seed" not in body:
        return None
    error = {"message": "Unsupported parameter: 'seed'", "param": "seed"}
    return JSONResponse({"error": error}, 400)


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_an_endpoint_refused_is_shown_beside_the_settings(
    server: StubServer, bench: Bench, api: httpx2.Client, open_page: OpenPage, language: str
) -> None:
    w = words(language)
    server.fail = no_seed
    bench.start_worker()
    job = bench.post(problem_file(2))
    bench.wait(job)
    start = api.get(f"/jobs/{job.id}").json()["start"]
    assert [entry["parameter"] for entry in start["adapted"]] == ["seed"]
    page = open_page(f"{api.base_url}/#/jobs/{job.id}", language)
    summary = page.locator(".job-settings summary")
    expect(summary.locator(".flag-mark")).to_have_text(w["start.changed"].replace("{count}", "1"))
    summary.click()
    shown = page.locator(".job-settings")
    told = words("zh_sentences")["sent-without-seed"].replace("{parameter}", "seed")
    expect(shown).to_contain_text(told if language == "zh" else start["adapted"][0]["note"])
    expect(shown.locator("h3", has_text=w["start.adapted"])).to_be_visible()
    model = shown.locator(".pairs > div", has_text=w["start.model"]).last
    expect(model.locator("dd")).to_have_text(start["model"])
    tokens = shown.locator(".pairs > div", has_text=w["setting.max_tokens"])
    expect(tokens.locator("dd")).to_have_text(
        w["start.models"].replace("{value}", str(start["max_tokens"]))
    )
    check_accessible(page)


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_prompts_format_and_what_was_added_to_it_are_shown(
    bench: Bench, api: httpx2.Client, open_page: OpenPage, language: str
) -> None:
    bench.start_worker()
    job = bench.post(problem_file(1))
    bench.wait(job)
    path = bench.store.directory(job.id) / "start.json"
    start = json.loads(path.read_text())
    message = {
        "code": "prompt-asks-for-all",
        "text": "this sentence was added to its prompt: Give all letters.",
        "params": {"added": "Give all letters."},
    }
    start |= {
        "prompt_note": message["text"],
        "prompt_note_message": message,
        "extra_body": {"top_k": 20},
    }
    path.write_text(write_json(start))
    page = open_page(f"{api.base_url}/#/jobs/{job.id}", language)
    page.locator(".job-settings summary").click()
    shown = page.locator(".job-settings")
    expect(shown.locator("h3")).to_have_text(words(language)["start.prompt"])
    told = [start["prompt_format"]["note_message"], message]
    chinese = words("zh_sentences")
    expect(shown.locator(".told li")).to_have_text(
        [
            chinese[one["code"]].format(**one["params"]) if language == "zh" else one["text"]
            for one in told
        ]
    )
    expect(shown).to_contain_text('{"top_k":20}')
    expect(page.locator(".job-settings .flag-mark")).to_have_count(0)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_job_is_posted_with_a_name_and_metadata(
    api: httpx2.Client, open_page: OpenPage, language: str, tmp_path: Path
) -> None:
    w = words(language)
    file = tmp_path / "law.jsonl"
    file.write_bytes(problem_file(1))
    page = open_page(str(api.base_url), language)
    page.set_input_files("#upload-file", file)
    page.get_by_label(w["upload.name"]).fill("法律, <b>first</b> try")
    entry = page.locator("#upload-pair")
    for pair in ("subject=law", "run=1", "run=2", "note=a = b"):
        entry.fill(pair)
        page.keyboard.press("Enter")
    entry.fill("no pair")
    page.click(".dropzone button.primary")
    assert entry.evaluate("one => one.validationMessage") == w["pairs.write"]
    assert api.get("/jobs").json()["data"] == []
    entry.fill("last=one")  # taken as it is when the form is sent
    page.get_by_label(w["pairs.remove"].replace("{pair}", "note=a = b")).click()
    page.click(".dropzone button.primary")
    page.wait_for_url("**/#/jobs/job_*")
    (job,) = api.get("/jobs").json()["data"]
    assert job["name"] == "法律, <b>first</b> try"
    assert job["metadata"] == {"subject": "law", "run": "2", "last": "one"}
    expect(page.locator("h1")).to_contain_text("法律, <b>first</b> try")
    expect(page.locator(".head")).to_contain_text("law.jsonl")
    expect(page.locator(".head .pair")).to_have_text(["subject=law", "run=2", "last=one"])
    check_accessible(page)
    page.locator(".head .pair").first.click()
    expect(page.locator(".job")).to_have_count(1)
    assert page.url.endswith("#/?metadata=subject%3Dlaw")


def test_a_job_that_has_not_started_shows_its_settings(
    bench: Bench, api: httpx2.Client, open_page: OpenPage
) -> None:
    job = bench.post(problem_file(1))
    assert api.get(f"/jobs/{job.id}").json()["start"] is None
    page = open_page(f"{api.base_url}/#/jobs/{job.id}")
    page.locator(".job-settings summary").click()
    row = page.locator(".job-settings .pairs > div", has_text=words("en")["setting.max_tokens"])
    expect(row.locator("dd")).to_have_text(words("en")["setting.model"])
    bench.start_worker()
    until(lambda: api.get(f"/jobs/{job.id}").json()["start"] is not None)
    expect(row.locator("dd")).to_contain_text("1024")


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_page_of_a_job_is_wider_than_a_phone(
    bench: Bench, api: httpx2.Client, open_page: OpenPage, language: str
) -> None:
    bench.start_worker()
    job = bench.post(problem_file(20))
    bench.wait(job)
    page = open_page(f"{api.base_url}/#/jobs/{job.id}", language, size=(360, 740))
    chart = page.locator(".charts .card", has_text=words(language)["chart.votes"])
    expect(chart).to_be_visible()
    for address in (f"#/jobs/{job.id}", f"#/jobs/{job.id}/questions/0", "#/model", "#/compare"):
        page.goto(f"{api.base_url}/{address}")
        expect(page.get_by_text(words(language)["loading"], exact=True)).to_have_count(0)
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, address
        check_accessible(page)


def test_the_heads_of_the_list_stand_above_their_columns(
    bench: Bench, api: httpx2.Client, open_page: OpenPage
) -> None:
    job = bench.post(problem_file(1))
    page = open_page(f"{api.base_url}/#/jobs/{job.id}")
    page.locator(".question a").first.wait_for()
    edges = page.evaluate(
        "['.row-head [role=row]', '.question'].map((row) => ["
        "...document.querySelector(row).children].map((one) => one.getBoundingClientRect().left))"
    )
    assert edges[0] == edges[1]


@pytest.mark.parametrize("language", LANGUAGES)
def test_cancelling_is_not_asked_with_two_words_for_no(
    bench: Bench, api: httpx2.Client, open_page: OpenPage, language: str
) -> None:
    w = words(language)
    job = bench.post(problem_file(1))
    page = open_page(f"{api.base_url}/#/jobs/{job.id}", language)
    page.get_by_role("button", name=w["job.cancel"], exact=True).click()
    buttons = page.locator("dialog.confirm button")
    expect(buttons).to_have_text([w["no"], w["ask.cancel.yes"]])
    assert w["ask.cancel.yes"] != w["job.cancel"]
    check_accessible(page)
