"""Files of all kinds on the page: what was recognized, faults where they are, and ways to read."""

from __future__ import annotations

import json
import re
from pathlib import Path

import httpx2
import pytest
from playwright.sync_api import Page, expect

from contract.files.encodings import ENCODINGS
from contract.files.known import SHAPES
from page_names import OpenPage, check_accessible
from page_words import words
from question_files import csv_of
from workers import Bench

LANGUAGES = ("en", "zh")
TABLE = csv_of(
    [
        ["question", "A", "B", "answer"],
        ["2 + 2?", "3", "4", "B"],
        ["首都是哪里？", "北京", "上海", "A"],
    ]
)


def send(page: Page, file: Path, data: bytes) -> None:
    file.write_bytes(data)
    page.set_input_files("#upload-file", file)
    page.click(".dropzone button.primary")


def posted(page: Page, api: httpx2.Client) -> dict[str, object]:
    page.wait_for_url(re.compile("#/jobs/job_"))
    job: dict[str, object] = api.get(f"/jobs/{page.url.rsplit('/', 1)[-1]}").json()
    return job


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_table_is_posted_and_the_page_says_what_it_was_read_as(
    bench: Bench, api: httpx2.Client, open_page: OpenPage, language: str, tmp_path: Path
) -> None:
    w = words(language)
    page = open_page(str(api.base_url), language)
    accepted = page.get_attribute("#upload-file", "accept")
    assert accepted == ".jsonl,.json,.csv,.tsv,.parquet,.txt,.gz,.zst"
    page.click(".upload summary")
    page.select_option("[name=submission_format]", "csv")
    send(page, tmp_path / "mmlu.csv", TABLE)
    job = posted(page, api)
    told = page.locator(".recognized")
    expect(told).to_contain_text("flat")
    expect(told).to_contain_text("question")
    if language == "en":
        expect(told).to_have_text(str(job["recognized"]))
    else:
        expect(told).to_contain_text("读取")
    bench.start_worker()
    bench.wait(bench.store.load(str(job["id"])))
    with page.expect_download() as download:
        name = w["download.submission"].replace("{suffix}", "csv")
        page.get_by_role("link", name=name, exact=True).click()
    header = Path(download.value.path()).read_text().splitlines()[0]
    assert header == "id,index,answer,agreement"
    with page.expect_download() as download:
        page.get_by_role("link", name=w["download.file"], exact=True).click()
    assert Path(download.value.path()).read_bytes() == TABLE
    page.locator(".job-settings summary").click()
    row = page.locator(".job-settings .pairs > div", has_text=w["setting.submission_format"])
    expect(row.locator("dd")).to_have_text(w["setting.csv"])


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_fold_says_how_a_file_is_read(
    bench: Bench, api: httpx2.Client, open_page: OpenPage, language: str, tmp_path: Path
) -> None:
    w = words(language)
    page = open_page(str(api.base_url), language)
    page.get_by_text(w["upload.settings"], exact=True).click()
    expect(page.locator("[name=samples]")).to_be_visible()
    expect(page.locator("[name=shape]")).to_be_hidden()
    page.get_by_text(w["upload.reading"], exact=True).click()
    expect(page.locator("[name=shape]")).to_be_visible()
    choices = page.locator("[name=shape] option").all_inner_texts()
    assert choices == [w["setting.recognized"], *(w[f"shape.{name}"] for name in SHAPES)]
    encodings = page.locator("[name=encoding] option").all_inner_texts()
    assert encodings == [w["setting.recognized"], *ENCODINGS]
    check_accessible(page)
    table = csv_of([["题干", "甲", "乙", "键"], ["一", "x", "y", 0], ["二", "x", "y", 1]])
    page.select_option("[name=encoding]", "gbk")
    page.fill("[name=columns]", "question=题干 A=甲 B=乙 answer=键")
    page.select_option("[name=index_base]", "0")
    send(page, tmp_path / "t.csv", table.decode().encode("gbk"))
    job = bench.store.load(str(posted(page, api)["id"]))
    assert (job.reading.encoding, job.reading.index_base, job.reading.shape) == ("gbk", 0, None)
    assert job.reading.columns == {"question": "题干", "A": "甲", "B": "乙", "answer": "键"}


@pytest.mark.parametrize("language", LANGUAGES)
def test_faults_are_named_by_line_or_by_row(
    api: httpx2.Client, open_page: OpenPage, language: str, tmp_path: Path
) -> None:
    w = words(language)
    rows = [{"question": "q", "choices": ["x", "y"], "answer": key} for key in "AAC"]
    page = open_page(str(api.base_url), language)
    where = page.locator(".faults .where")
    send(page, tmp_path / "t.json", json.dumps(rows).encode())
    expect(where).to_have_text([w["fault.at.row"].replace("{number}", "3")])
    lines = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
    send(page, tmp_path / "t.jsonl", lines)
    expect(where).to_have_text([w["fault.at.line"].replace("{number}", "3")])
    check_accessible(page)
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_refusal_with_candidates_is_settled_by_a_button(
    bench: Bench, api: httpx2.Client, open_page: OpenPage, language: str, tmp_path: Path
) -> None:
    w = words(language)
    page = open_page(str(api.base_url), language, size=(390, 844))
    send(page, tmp_path / "gbk.csv", TABLE.decode().encode("gbk"))
    alert = page.locator(".upload [role=alert]")
    ways = alert.locator(".ways button")
    expect(ways).to_have_text(["encoding=gbk"])
    expect(alert.locator("table")).to_have_count(0)
    expect(alert).to_contain_text(w["fault.choose"])
    check_accessible(page)
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    ways.click()
    job = bench.store.load(str(posted(page, api)["id"]))
    assert job.reading.encoding == "gbk"

    page.goto(f"{api.base_url}/#/")
    numbers = csv_of([["question", "A", "B", "C", "answer"], ["q", "x", "y", "z", 1]])
    send(page, tmp_path / "n.csv", numbers)
    expect(ways).to_have_text(["index_base=0", "index_base=1"])
    ways.nth(1).click()
    job = bench.store.load(str(posted(page, api)["id"]))
    assert job.reading.index_base == 1

    page.goto(f"{api.base_url}/#/")
    mapped = csv_of([["query", "question", "A", "B", "Key"], ["q", "q2", "x", "y", "A"]])
    send(page, tmp_path / "m.csv", mapped)
    expect(alert).to_be_visible()
    page.get_by_text(w["upload.reading"], exact=True).click()
    page.fill("[name=columns]", "answer=Key")
    page.click(".dropzone button.primary")
    expect(ways).to_have_text(["question=query", "question=question"])
    ways.first.click()
    job = bench.store.load(str(posted(page, api)["id"]))
    assert job.reading.columns == {"answer": "Key", "question": "query"}


def test_refusals_one_after_another_are_settled_by_keyboard(
    bench: Bench, api: httpx2.Client, open_page: OpenPage, tmp_path: Path
) -> None:
    page = open_page(str(api.base_url), theme="dark")
    table = csv_of([["题目", "A", "B", "C", "答案"], ["首都是哪里？", "北京", "上海", "广州", 1]])
    send(page, tmp_path / "t.csv", table.decode().encode("gbk"))
    page.locator(".ways button").press("Enter")
    expect(page.locator(".ways button")).to_have_text(["index_base=0", "index_base=1"])
    expect(page.locator(".reading summary")).to_be_focused()
    check_accessible(page)
    page.locator(".ways button").nth(1).press("Enter")
    job = bench.store.load(str(posted(page, api)["id"]))
    assert (job.reading.encoding, job.reading.index_base) == ("gbk", 1)


def test_a_refusal_without_columns_to_choose_from_has_no_button(
    api: httpx2.Client, open_page: OpenPage, tmp_path: Path
) -> None:
    page = open_page(str(api.base_url), "zh")
    page.get_by_text(words("zh")["upload.reading"], exact=True).click()
    page.select_option("[name=shape]", "flat")
    send(page, tmp_path / "t.json", b"[{}]")
    expect(page.locator(".upload [role=alert]")).to_contain_text("没有字段")
    expect(page.locator(".ways")).to_have_count(0)


def test_the_size_of_a_file_is_told_in_a_fitting_unit(
    api: httpx2.Client, open_page: OpenPage, tmp_path: Path
) -> None:
    page = open_page(str(api.base_url))
    for count, told in ((0, "0 B"), (1023, "1,023 B"), (1 << 12, "4 KiB"), (3 << 19, "1.5 MiB")):
        file = tmp_path / f"{count}.csv"
        file.write_bytes(b"x" * count)
        page.set_input_files("#upload-file", file)
        expect(page.locator(".dropzone span")).to_have_text(f"{count}.csv ({told})")
