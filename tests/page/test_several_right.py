"""Questions with several right options on the page: a chip a label, marks, tallies of sets, F1."""

from __future__ import annotations

import json
from pathlib import Path

import httpx2
import pytest
from playwright.sync_api import Locator, expect

from orchestrator.jobs.records import JobSettings
from page_names import OpenPage, check_accessible
from page_words import words
from stub_server import StubServer
from workers import Bench

LANGUAGES = ("en", "zh")
# text, key, and what the samples say, by seed
QUESTIONS = (
    ("哪些是水果？", ["A", "C"], ("答案是：A、C",)),
    ("哪些会飞？", ["A", "C"], ("答案是：A、B",)),
    ("哪个是首都？", ["B"], ("答案是：B", "答案是：B、D", "答案是：B")),
)


def several_right() -> bytes:
    questions = [
        {"question": text, "options": ["甲", "乙", "丙", "丁"], "answer": key}
        for text, key, _ in QUESTIONS
    ]
    row = {"id": "p0", "problem": "看图。", "questions": questions}
    return json.dumps(row, ensure_ascii=False).encode() + b"\n"


def reply(prompt: str, seed: int) -> str:
    replies = next(replies for text, _, replies in QUESTIONS if text in prompt)
    return replies[seed % len(replies)]


def labels(chips: Locator) -> list[tuple[str, str]]:
    """Each chip's label and mark."""
    found: list[list[str]] = chips.locator(".label").evaluate_all(
        "all => all.map((one) => [one.textContent,"
        " ['right', 'wrong'].find((mark) => one.classList.contains(mark)) ?? ''])"
    )
    return [(label, mark) for label, mark in found]


@pytest.mark.parametrize("language", LANGUAGES)
def test_sets_are_shown_label_by_label(
    server: StubServer, bench: Bench, api: httpx2.Client, open_page: OpenPage, language: str
) -> None:
    w = words(language)
    server.reply = reply
    bench.start_worker()
    job = bench.post(several_right(), JobSettings(multiple=True, early_stop=False))
    bench.wait(job)
    report = api.get(f"/jobs/{job.id}/report").json()
    page = open_page(f"{api.base_url}/#/jobs/{job.id}", language)
    rows = page.locator(".question")
    expect(rows).to_have_count(3)
    right = ["right" in (rows.nth(i).get_attribute("class") or "") for i in range(3)]
    assert right == [True, False, True]
    wrong = rows.nth(1).locator(".answer")
    assert labels(wrong.locator("> .labels")) == [("A", "right"), ("B", "wrong")]
    assert labels(wrong.locator("small")) == [("A", ""), ("C", "")]
    expect(rows.nth(0).locator("small .labels")).to_have_count(0)

    f1 = report["options_f1"]
    tile = page.locator(".tile", has_text=w["options.f1"])
    expect(tile).to_contain_text(f"{100 * f1['value']:.0f}%")
    for name in ("right", "wrong", "missing"):
        expect(tile).to_contain_text(str(f1[name]))
    several = page.locator(".tile", has_text=w["several.right"])
    expect(several.locator("strong")).to_have_text("2")
    scoring = words("zh_sentences")["scored-as-sets"] if language == "zh" else report["scoring"]
    expect(page.locator(".scoring")).to_have_text(scoring)
    chart = page.locator(".card").filter(
        has=page.get_by_role("heading", name=w["chart.labels"], exact=True)
    )
    for name in ("AB", "AC"):
        expect(chart.get_by_text(name, exact=True)).to_be_visible()
    check_accessible(page)

    page.goto(f"{api.base_url}/#/jobs/{job.id}/questions/1")
    dialog = page.locator("dialog.question-dialog")
    options = dialog.locator(".options li")
    marks = [
        [w["question.answer"], w["question.is.key"]],
        [w["question.answer"]],
        [w["question.is.key"]],
        [],
    ]
    expect(options).to_have_count(4)
    assert [options.nth(i).locator("em").all_inner_texts() for i in range(4)] == marks
    tally = dialog.locator(".bars th .labels")
    assert labels(tally) == [("A", "right"), ("B", "wrong")]
    expect(dialog.locator(".sample.wrong")).to_have_count(3)
    expect(dialog.locator(".sample mark").first).to_have_text("A、B")
    check_accessible(page)
    page.goto(f"{api.base_url}/#/jobs/{job.id}/questions/2")
    expect(dialog.locator(".asked")).to_have_text("哪个是首都？")
    expect(dialog.locator(".bars tr")).to_have_count(2)
    assert {dialog.locator(".bars tr").nth(i).get_attribute("class") for i in range(2)} == {
        "good",
        "",
    }


@pytest.mark.parametrize("language", LANGUAGES)
def test_one_of_several_right_options_counts_as_right_and_the_page_says_so(
    server: StubServer, bench: Bench, api: httpx2.Client, open_page: OpenPage, language: str
) -> None:
    server.reply = lambda prompt, seed: "答案是：C"
    bench.start_worker()
    job = bench.post(several_right())
    bench.wait(job)
    page = open_page(f"{api.base_url}/#/jobs/{job.id}/questions/0", language)
    dialog = page.locator("dialog.question-dialog")
    expect(dialog.locator(".sample.right").first).to_be_visible()
    expect(dialog.locator(".sample.wrong")).to_have_count(0)
    expect(dialog.locator(".bars tr.good")).to_have_count(1)
    rows = page.locator(".question")
    right = ["right" in (rows.nth(i).get_attribute("class") or "") for i in range(3)]
    assert right == [True, True, False]
    told = words("zh_sentences")["any-of-several"] if language == "zh" else None
    said = told.format(count=2, total=3) if told else "2 of 3 questions have several right options"
    expect(page.locator(".scoring")).to_contain_text(said)
    expect(page.locator(".tile", has_text=words(language)["options.f1"])).to_have_count(0)


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_form_asks_for_all_right_options(
    bench: Bench, api: httpx2.Client, open_page: OpenPage, language: str, tmp_path: Path
) -> None:
    w = words(language)
    file = tmp_path / "several.jsonl"
    file.write_bytes(several_right())
    page = open_page(str(api.base_url), language)
    page.set_input_files("#upload-file", file)
    page.click(".upload summary")
    page.get_by_label(w["setting.multiple"]).check()
    page.click(".dropzone button.primary")
    page.wait_for_url("**/#/jobs/job_*")
    job = bench.store.load(page.url.rsplit("/", 1)[-1])
    assert job.settings.multiple
    page.locator(".job-settings summary").click()
    row = page.locator(".job-settings .pairs > div", has_text=w["setting.multiple"])
    expect(row.locator("dd")).to_have_text(w["yes"])
