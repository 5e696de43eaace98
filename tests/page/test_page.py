"""The whole page in real Chromium, against local mode with the demo's model, in both languages."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path

import httpx2
import pytest
from playwright.sync_api import Page, expect

from contract import parse_problems
from contract.published import list_published
from local_mode import URL
from page_names import OpenPage, check_accessible, keep_screenshot
from page_words import words

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("local_stack")]

LANGUAGES = ("en", pytest.param("zh", marks=pytest.mark.long))
SHOTS = os.environ.get("QUORUM_SCREENSHOTS")  # a folder for screenshots of the pages


@pytest.fixture(params=LANGUAGES)
def language(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def file(root: Path, tmp_path: Path) -> Path:
    """A quarter of the demo's problems: enough to watch them being answered."""
    rows = (root / "examples" / "demo" / "problems.jsonl").read_text().splitlines(keepends=True)
    path = tmp_path / "problems.jsonl"
    path.write_text("".join(rows[:35]))
    return path


def look(page: Page, name: str, language: str) -> None:
    """Check both themes: axe-core finds nothing serious, and nothing is wider than the screen."""
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme)
        page.wait_for_timeout(400)
        check_accessible(page)
        if SHOTS:
            keep_screenshot(page, Path(SHOTS), f"{name}-{language}-{theme}")
    wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
    assert wide <= 0
    page.emulate_media(color_scheme="light")


def post(page: Page, file: Path, **chosen: str) -> str:
    """Upload a file with the form. Returns the job's id."""
    page.goto(URL)
    page.set_input_files("#upload-file", file)
    if chosen:
        page.click(".upload summary")
    for name, value in chosen.items():
        if value in ("true", "false"):
            page.set_checked(f"[name={name}]", value == "true")
        else:
            page.fill(f"[name={name}]", value)
    page.click(".dropzone button.primary")
    page.wait_for_url(re.compile(r"#/jobs/job_"))
    return page.url.rsplit("/", 1)[-1]


def wait_for_bar(page: Page, above: float, timeout_s: float = 90) -> float:
    """Wait until the bar shows more than `above` questions. Returns their number."""
    deadline = time.monotonic() + timeout_s
    while True:
        shown = page.locator("progress.large").evaluate_all("found => found.map(one => one.value)")
        if shown and shown[0] > above:
            return float(shown[0])
        assert time.monotonic() < deadline, "the bar did not move"
        page.wait_for_timeout(50)


def untranslated(page: Page, language: str) -> list[str]:
    """Words of the other language in the page's own texts (names and samples do not count)."""
    other = words("en" if language == "zh" else "zh")
    own = set(words(language).values())
    shown = set(page.inner_text("body").split("\n"))
    plain = {text for text in other.values() if len(text) > 3 and "{" not in text}
    return sorted((shown & plain) - own)


def test_a_file_is_posted_watched_and_read_question_by_question(
    file: Path, open_page: OpenPage, language: str
) -> None:
    w = words(language)
    page = open_page(URL, language)
    assert page.get_attribute("html", "lang") == {"en": "en", "zh": "zh-CN"}[language]
    page.wait_for_selector(".upload")
    look(page, "jobs", language)
    job_id = post(page, file, samples="5")
    questions = sum(len(problem.questions) for problem in parse_problems(file.read_bytes()))

    # live: the bar moves without a reload
    page.evaluate("window.notReloaded = true")
    first = wait_for_bar(page, 20)
    assert first < questions
    wait_for_bar(page, first)
    assert re.match(r"\d+\s?% problems.jsonl", page.title())
    expect(page.locator(".facts").first).to_contain_text(w["job.speed"].split("{")[1][10:14])
    expect(page.locator(".badge.completed")).to_be_visible(timeout=120_000)
    assert page.evaluate("window.notReloaded")
    expect(page.locator(".tiles").first).to_contain_text(w["accuracy"])
    report = httpx2.get(f"{URL}/jobs/{job_id}/report").json()
    expect(page.locator(".tile strong").first).to_have_text(
        re.compile(f"{100 * report['accuracy']['value']:.1f}".rstrip("0").rstrip("."))
    )
    for title in ("chart.agreement", "chart.levels", "chart.labels", "chart.votes", "job.rate"):
        expect(page.get_by_role("heading", name=w[title], exact=True)).to_be_visible()
    expect(page.locator("#rate canvas")).to_be_visible()
    look(page, "job", language)
    assert untranslated(page, language) == []

    # downloads
    with page.expect_download() as download:
        name = w["download.submission"].replace("{suffix}", "jsonl")
        page.get_by_role("link", name=name, exact=True).click()
    rows = Path(download.value.path()).read_text(encoding="utf-8").splitlines()
    assert len(rows) == report["problems"]

    # the questions: filters, text, order
    count = page.locator("#questions-title .muted")
    expect(count).to_have_text(str(questions))
    wrong = report["accuracy"]["total"] - report["accuracy"]["correct"]
    page.get_by_role("button", name=w["show.wrong"], exact=True).click()
    expect(count).to_have_text(str(wrong))
    assert "show=wrong" in page.url
    assert page.locator(".question.wrong").count() == min(wrong, page.locator(".question").count())
    page.get_by_role("button", name=w["show.wrong"], exact=True).click()
    page.get_by_role("searchbox").fill("two_hop")
    expect(count).not_to_have_text(str(questions))
    expect(page.locator(".question small").first).to_contain_text("two_hop")
    page.get_by_role("searchbox").fill("")
    expect(count).to_have_text(str(questions))
    page.select_option(".filters select", "agreement")
    agreements = httpx2.get(f"{URL}/jobs/{job_id}/questions?order=agreement&limit=1").json()
    least = agreements["data"][0]["text"]
    expect(page.locator(".question .text a").first).to_have_text(least)

    # one question, under a link that can be shared
    detail = httpx2.get(f"{URL}/jobs/{job_id}/questions/7").json()
    shared = open_page(f"{URL}/#/jobs/{job_id}/questions/7", language)
    dialog = shared.locator("dialog.question-dialog")
    expect(dialog.locator(".asked")).to_have_text(detail["question"])
    expect(dialog.locator(".options li")).to_have_count(len(detail["options"]))
    samples = detail["answer"]["samples"]
    expect(dialog.locator(".sample")).to_have_count(len(samples))
    for number, sample in enumerate(samples):
        assert dialog.locator(".sample pre").nth(number).text_content() == sample["text"]
        if sample["label"]:
            expect(dialog.locator(".sample").nth(number).locator("mark")).to_have_text(
                sample["label"]
            )
    look(shared, "question", language)
    assert untranslated(shared, language) == []
    expect(dialog.locator(".close")).to_be_focused()
    shared.keyboard.press("ArrowRight")
    shared.wait_for_url(re.compile(r"/questions/8$"))
    expect(dialog.locator(".close")).to_be_focused()
    shared.keyboard.press("Escape")
    shared.wait_for_url(re.compile(f"{job_id}$"))
    expect(dialog).to_have_count(0)


def test_a_job_is_cancelled_resumed_and_deleted_on_the_page(
    root: Path, open_page: OpenPage, language: str
) -> None:
    w = words(language)
    page = open_page(URL, language)
    job_id = post(
        page, root / "examples" / "demo" / "problems.jsonl", samples="64", early_stop="false"
    )
    wait_for_bar(page, 0)
    page.get_by_role("button", name=w["job.cancel"], exact=True).click()
    expect(page.locator("dialog.confirm")).to_contain_text("problems.jsonl")
    check_accessible(page)
    page.get_by_role("button", name=w["no"], exact=True).click()
    assert httpx2.get(f"{URL}/jobs/{job_id}").json()["status"] == "in_progress"
    page.get_by_role("button", name=w["job.cancel"], exact=True).click()
    page.locator("dialog.confirm .danger").click()
    expect(page.locator(".badge.cancelled")).to_be_visible(timeout=60_000)
    kept = httpx2.get(f"{URL}/jobs/{job_id}").json()["request_counts"]["completed"]
    assert 0 < kept < 305

    page.get_by_role("button", name=w["job.resume"], exact=True).click()
    expect(page.locator(".badge.in_progress")).to_be_visible()
    wait_for_bar(page, kept)
    page.get_by_role("button", name=w["job.cancel"], exact=True).click()
    page.locator("dialog.confirm .danger").click()
    expect(page.locator(".badge.cancelled")).to_be_visible(timeout=60_000)
    page.get_by_role("button", name=w["job.delete"], exact=True).click()
    page.locator("dialog.confirm .danger").click()
    page.wait_for_url(re.compile(r"#/$"))
    assert httpx2.get(f"{URL}/jobs/{job_id}").status_code == 404


def test_a_faulty_file_is_refused_with_each_fault_and_its_line(
    open_page: OpenPage, language: str, tmp_path: Path
) -> None:
    file = tmp_path / "faulty.jsonl"
    file.write_bytes(b'{"id": "a", "problem": "p", "questions": [{"question": "q"}]}\n{oops\n')
    page = open_page(URL, language)
    page.set_input_files("#upload-file", file)
    page.click(".dropzone button.primary")
    faults = page.locator(".faults tbody tr")
    expect(faults).to_have_count(2)
    expect(faults.nth(0)).to_contain_text("questions[0].options")
    where = words(language)["fault.at.line"].replace("{number}", "2")
    expect(faults.nth(1).locator("td").first).to_have_text(where)
    reasons = [faults.nth(i).locator("td").nth(2).inner_text() for i in range(2)]
    assert all(bool(re.search("[一-鿿]", reason)) == (language == "zh") for reason in reasons)
    look(page, "refused", language)
    expect(faults).to_have_count(2)  # another theme does not change the content


def test_two_jobs_are_compared(file: Path, open_page: OpenPage, language: str) -> None:
    w = words(language)
    ids = []
    for samples, seed in ((1, 1), (3, 2)):
        reply = httpx2.post(
            f"{URL}/jobs",
            files={"file": ("problems.jsonl", file.read_bytes())},
            data={"samples": str(samples), "seed": str(seed)},
        )
        ids.append(reply.json()["id"])
    page = open_page(f"{URL}/#/jobs/{ids[1]}", language)
    expect(page.locator(".badge.completed")).to_be_visible(timeout=120_000)
    page.goto(f"{URL}/#/jobs/{ids[0]}")
    expect(page.locator(".badge.completed")).to_be_visible(timeout=120_000)
    page.get_by_role("link", name=w["job.compare"], exact=True).last.click()
    page.locator("select").nth(1).select_option(ids[1])
    found = httpx2.get(f"{URL}/jobs/{ids[0]}/comparison?to={ids[1]}").json()
    assert found["changed"]
    expect(page.locator(".tile", has_text=w["compare.changed"])).to_contain_text(
        str(len(found["changed"]))
    )
    expect(page.locator(".tile", has_text=w["compare.p"])).to_be_visible()
    page.locator(".changes summary").first.click()
    expect(page.locator(".columns > div")).to_have_count(2)
    expect(page.locator(".columns .sample").first).to_be_visible()
    look(page, "compare", language)
    assert untranslated(page, language) == []


def test_the_model_page_shows_where_the_weights_come_from(
    root: Path, open_page: OpenPage, language: str
) -> None:
    w = words(language)
    page = open_page(f"{URL}/#/model", language)
    model = httpx2.get(f"{URL}/model").json()
    expect(page.locator(".banner.good")).to_contain_text(model["name"])
    expect(page.locator(".chain li")).to_have_count(5)
    for text in (model["digest"], model["contract"]["provenance"]["data_sha256"][:16]):
        expect(page.locator(".chain")).to_contain_text(text[:16])
    expect(page.locator("#loss canvas")).to_be_visible()
    page.locator("input[type=range]").fill("0.9")
    page.get_by_label(w["curves.log"]).check()
    page.locator(".filters select").select_option("time")
    expect(page.locator("#loss .u-legend")).to_contain_text(w["curves.time"])
    for title in ("model.data", "model.contract", "model.generations", "model.published"):
        expect(page.get_by_role("heading", name=w[title], exact=True)).to_be_visible()
    assert list_published(root / "var" / "models")
    expect(page.locator(".list .badge")).to_have_text(w["model.current"])
    look(page, "model", language)
    assert untranslated(page, language) == []


def test_the_language_choice_is_kept_and_the_page_fits_a_phone(
    open_page: OpenPage,
) -> None:
    page = open_page(URL, "en", size=(390, 844))
    page.get_by_role("button", name="中文").click()
    expect(page.locator("h1")).to_have_text("任务")
    page.reload()
    expect(page.locator("h1")).to_have_text("任务")
    page.locator(".job .what > a").first.click()
    page.wait_for_selector(".tiles")
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0
    check_accessible(page)
    page.get_by_role("button", name="深色").click()
    assert page.get_attribute("html", "data-theme") == "dark"


def test_every_control_is_reached_by_keyboard(open_page: OpenPage) -> None:
    page = open_page(URL)
    page.wait_for_selector(".job")
    reached = []
    for _ in range(30):
        page.keyboard.press("Tab")
        reached.append(
            page.evaluate("document.activeElement.textContent.trim() || document.activeElement.id")
        )
    for name in ("To the content", "Compare", "Model", "upload-file", "Settings", "problems.jsonl"):
        assert name in reached, reached


def test_the_page_loads_nothing_from_other_hosts(open_page: OpenPage) -> None:
    asked: list[str] = []
    page = open_page("about:blank")
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{URL}/#/model")
    page.wait_for_selector("#loss canvas")
    assert asked
    assert all(url.startswith(URL) for url in asked)
