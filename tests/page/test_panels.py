"""A panel on the page: it is picked in the form, and its voters' figures are shown."""

from __future__ import annotations

from pathlib import Path

import httpx2
import pytest
from playwright.sync_api import expect

from page_names import OpenPage, check_accessible
from page_words import words
from problem_files import problem_file
from stub_server import StubServer
from workers import Bench

LANGUAGES = ("en", "zh")
THREE = """
[[voter]]
name = "calm"
accuracy = [9, 10]
temperature = 0.3

[[voter]]
name = "lively"
accuracy = [8, 10]

[[voter]]
name = "wild"
accuracy = [1, 10]
"""


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_job_is_posted_with_a_panel_and_its_voters_are_shown(
    server: StubServer,
    bench: Bench,
    api: httpx2.Client,
    open_page: OpenPage,
    language: str,
    tmp_path: Path,
) -> None:
    w = words(language)
    bench.settings.panels_dir.mkdir(exist_ok=True)
    (bench.settings.panels_dir / "three.toml").write_text(f'weights = "accuracy"\n{THREE}')
    (bench.settings.panels_dir / "broken.toml").write_text("[[voter]]")
    server.reply = lambda prompt, seed: f"答案是：{'AB'[seed % 2]}"
    file = tmp_path / "law.jsonl"
    file.write_bytes(problem_file(3))
    page = open_page(f"{api.base_url}/#/jobs", language)
    page.set_input_files("#upload-file", file)
    page.locator(".upload details").first.locator("summary").click()
    picker = page.locator("select[name=panel]")
    expect(picker.locator("option")).to_have_text([w["none"], "three"])
    picker.select_option("three")
    page.locator("input[name=early_stop]").uncheck()
    page.locator(".upload button.primary").click()
    expect(page.locator(".job-settings")).to_be_attached()
    (job,) = map(bench.store.load, bench.store.ids())
    assert job.settings.panel == "three"
    bench.start_worker()
    bench.wait(job)
    card = page.locator(".card.panel")
    expect(card.locator("h2")).to_have_text(w["panel.title"].replace("{name}", "three"))
    expect(card.locator(".scroll tbody th")).to_have_text(["calm", "lively", "wild"])
    expect(card.locator(".against-best")).to_contain_text("calm")
    expect(card).to_contain_text(
        "wild: it was right in 1 of 10" if language == "en" else "wild: 在 10 条验证数据中答对 1 条"
    )
    page.locator(".job-settings summary").click()
    voters = page.locator(".job-settings .told li", has_text="0.3")
    expect(voters).to_contain_text("calm")
    check_accessible(page)
