"""The page against a stub: the key, texts that are shown but never run, other sites, outages."""

from __future__ import annotations

import re
from pathlib import Path

import httpx2
import pytest
from playwright.sync_api import Browser, Dialog, expect
from starlette.responses import JSONResponse

from contract import Sentence, write_json
from contract.published import DATA_FILE, VERIFICATION_FILE, RecordedReply
from orchestrator.api.page import POLICY
from orchestrator.jobs.records import JobSettings
from orchestrator.settings import Settings
from orchestrator_parts import serving
from page_names import ANOTHER_MACHINE, OpenPage, check_accessible
from page_words import words
from problem_files import problem_file
from stub_server import StubServer
from workers import Bench, until

KEY = "a-secret-of-the-test"
HOSTILE = (
    '<script>window.hacked = 1</script><img src=x onerror="window.hacked = 2">'
    "</pre><b>bold</b>&amp;\n答案是：**Ａ**"
)


@pytest.fixture
def settings(settings: Settings, request: pytest.FixtureRequest) -> Settings:
    key = KEY if "keyed" in request.keywords else ""
    return settings.model_copy(update={"api_key": key, "allowed_hosts": ANOTHER_MACHINE})


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


def test_one_sample_is_shown_with_and_without_redraws(
    bench: Bench, api: httpx2.Client, open_page: OpenPage
) -> None:
    bench.start_worker()
    job = bench.post(problem_file(20))
    bench.wait(job)
    report = api.get(f"/jobs/{job.id}/report").json()
    page = open_page(f"{api.base_url}/#/jobs/{job.id}")
    w = words("en")
    card = page.locator(".card").filter(has=page.get_by_role("heading", name=w["chart.votes"]))
    for name, found in (
        ("chart.firstdraw", report["accuracy_first_draw"]),
        ("chart.sample", report["accuracy_by_votes"][0]["accuracy"]),
    ):
        row = card.get_by_text(w[name], exact=True).locator("..")
        share = f"{100 * found['value']:.1f}".removesuffix(".0")
        expect(row).to_contain_text(f"{share}%")


def test_the_ways_of_voting_are_compared(
    bench: Bench, api: httpx2.Client, open_page: OpenPage
) -> None:
    bench.start_worker()
    job = bench.post(problem_file(20), JobSettings(vote="confidence", early_stop=False))
    bench.wait(job)
    report = api.get(f"/jobs/{job.id}/report").json()
    page = open_page(f"{api.base_url}/#/jobs/{job.id}")
    w = words("en")
    card = page.locator(".card").filter(has=page.get_by_role("heading", name=w["chart.ways"]))
    for found in report["accuracy_by_vote"]:
        row = card.get_by_text(w[f"setting.{found['vote']}"], exact=True).locator("..")
        share = f"{100 * found['accuracy']['value']:.1f}".removesuffix(".0")
        expect(row).to_contain_text(f"{share}%")
    expect(card).to_contain_text("p = ")


def test_notes_and_errors_are_told_in_chinese(
    server: StubServer, bench: Bench, api: httpx2.Client, open_page: OpenPage
) -> None:
    server.fail = lambda body: JSONResponse({"error": "too long"}, 400)
    job = bench.post(problem_file(1))
    page = open_page(f"{api.base_url}/#/jobs/{job.id}", "zh")
    expect(page.locator(".banner")).to_contain_text("等待工作进程：没有正在运行的")
    bench.start_worker()
    ended = "2 题中有 2 题没有答案"
    expect(page.locator(".banner.bad")).to_contain_text(ended, timeout=30_000)
    page.goto(f"{api.base_url}/#/jobs/{job.id}/questions/0")
    refused = "服务器拒绝了它：模型服务器返回 400：too long"
    expect(page.locator("dialog .banner.bad")).to_have_text(refused)
    page.goto(f"{api.base_url}/#/")
    expect(page.locator(".job .note")).to_contain_text(ended)
    page.goto(f"{api.base_url}/#/compare?first={job.id}&second={job.id[:-8]}00000000")
    expect(page.get_by_role("alert")).to_contain_text(f"没有任务 {job.id[:-8]}00000000")


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_models_reply_is_shown_as_text(
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


def test_the_policy_runs_no_inline_script(api: httpx2.Client, browser: Browser) -> None:
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


def test_a_call_that_the_browser_marks_as_cross_site_is_refused(api: httpx2.Client) -> None:
    file = {"file": ("f.jsonl", problem_file(1))}
    for site, status in (("cross-site", 403), ("same-site", 403), ("same-origin", 202)):
        headers = {"Sec-Fetch-Site": site, "Origin": "https://behind-a-proxy.example"}
        assert api.post("/jobs", files=file, headers=headers).status_code == status


def test_posting_and_copying_work_over_plain_http(
    bench: Bench, api: httpx2.Client, open_page: OpenPage, tmp_path: Path
) -> None:
    """There browsers have neither crypto.randomUUID nor a clipboard."""
    bench.start_worker()
    page = open_page(f"http://{ANOTHER_MACHINE}:{api.base_url.port}")
    assert not page.evaluate("isSecureContext")
    file = tmp_path / "f.jsonl"
    file.write_bytes(problem_file(2))
    page.set_input_files("#upload-file", file)
    page.click(".dropzone button.primary")
    page.wait_for_url(re.compile("#/jobs/job_"))
    page.locator(".question a").first.click()
    asked: list[str] = []

    def read(dialog: Dialog) -> None:
        asked.append(dialog.default_value)
        dialog.dismiss()

    page.on("dialog", read)
    page.get_by_role("button", name="Copy link").click()
    assert asked == [page.url]


def test_a_file_can_be_dropped_on_the_page(api: httpx2.Client, open_page: OpenPage) -> None:
    page = open_page(str(api.base_url))
    text = problem_file(2).decode()
    dropped = page.evaluate_handle(
        "(text) => { const all = new DataTransfer();"
        " all.items.add(new File([text], 'dropped.jsonl')); return all; }",
        text,
    )
    page.dispatch_event(".upload", "drop", {"dataTransfer": dropped})
    expect(page.locator(".dropzone")).to_contain_text("dropped.jsonl")
    page.click(".dropzone button.primary")
    page.wait_for_url(re.compile("#/jobs/job_"))
    (job,) = api.get("/jobs").json()["data"]
    assert (job["filename"], job["request_counts"]["total"]) == ("dropped.jsonl", 4)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_an_earlier_model_is_made_current_after_confirmation(
    settings: Settings, two_models: Path, open_page: OpenPage, language: str
) -> None:
    w = words(language)
    published = settings.model_copy(update={"model_name": "m", "model_contract": "published"})
    with serving(published) as port:
        page = open_page(f"http://127.0.0.1:{port}/#/model", language)
        rows = page.locator(".list tbody tr")
        expect(rows.nth(0).locator(".badge")).to_have_text(w["model.current"])
        rows.nth(1).get_by_role("button", name=w["model.make"]).click()
        page.get_by_role("button", name=w["no"], exact=True).click()
        assert (two_models / "current").readlink() == Path("bbb2")
        rows.nth(1).get_by_role("button", name=w["model.make"]).click()
        page.locator("dialog.confirm .danger").click()
        expect(rows.nth(1).locator(".badge")).to_have_text(w["model.current"])
        assert (two_models / "current").readlink() == Path("aaa1")
        check_accessible(page)


def test_what_is_known_of_a_model_is_told_in_chinese(
    settings: Settings, two_models: Path, open_page: OpenPage
) -> None:
    template = "{file}, {problem}, question {number}"
    source = Sentence("from-problem-file", template, file="a.jsonl", problem="p0", number=1)
    reply = RecordedReply(source=source, source_message=source.message(), text="答案是：A")
    verification = write_json({"replies": [reply.model_dump()]})
    (two_models / "bbb2" / VERIFICATION_FILE).write_text(verification, encoding="utf-8")
    reason = Sentence("no-answer-given", "no answer given")
    data = {
        "keys_read": {},
        "keys_trained": {},
        "dropped": {reason: 2},
        "dropped_messages": {reason: reason.message().model_dump()},
    }
    (two_models / "bbb2" / DATA_FILE).write_text(write_json(data))
    published = settings.model_copy(update={"model_name": "m", "model_contract": "published"})
    with serving(published) as port:
        url = f"http://127.0.0.1:{port}"
        until(lambda: "serves stub, not m@bbb2 yet" in httpx2.get(f"{url}/model").json()["state"])
        page = open_page(f"{url}/#/model", "zh")
        expect(page.locator(".banner")).to_contain_text("提供的是 stub，还不是 m@bbb2：")
        expect(page.get_by_text("a.jsonl，p0，第 1 问")).to_be_visible()
        expect(page.get_by_text("舍弃：没有标准答案")).to_be_visible()


def test_a_page_continues_by_itself_after_an_api_outage(
    settings: Settings, bench: Bench, open_page: OpenPage
) -> None:
    job = bench.post(problem_file(3))
    with serving(settings) as port:
        listed = open_page(f"http://127.0.0.1:{port}")
        live = open_page(f"http://127.0.0.1:{port}/#/jobs/{job.id}")
        listed.locator(".job").wait_for()
        live.locator(".question a").first.wait_for()
    for page in (listed, live):
        expect(page.get_by_role("alert")).to_contain_text("no answer", timeout=20_000)
    bench.start_worker()
    with serving(settings, port):
        bench.wait(job)
        for page in (listed, live):
            expect(page.locator(".badge.completed")).to_be_visible(timeout=30_000)
            expect(page.get_by_role("alert")).to_have_count(0)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_form_has_every_setting_of_a_job(
    bench: Bench, api: httpx2.Client, open_page: OpenPage, language: str, tmp_path: Path
) -> None:
    page = open_page(str(api.base_url), language)
    page.click(".upload summary")
    expect(page.locator("[name=samples]")).to_be_visible()
    for name, field in JobSettings.model_fields.items():
        shown = page.locator(f"[name={name}]")
        if name == "panel":  # it is shown if there are panels
            expect(shown).to_have_count(0)
            continue
        expect(shown).to_be_visible()
        if isinstance(field.default, bool):
            assert shown.is_checked() == field.default
        else:
            expect(shown).to_have_value("" if field.default is None else str(field.default))
    check_accessible(page)
    file = tmp_path / "problems.jsonl"
    file.write_bytes(problem_file(1))
    page.set_input_files("#upload-file", file)
    page.fill("[name=samples]", "5")
    page.fill("[name=top_p]", "0.9")
    page.set_checked("[name=early_stop]", False)
    page.select_option("[name=priority]", "high")
    page.click(".dropzone button.primary")
    page.wait_for_url(re.compile(r"#/jobs/job_"))
    job = bench.store.load(page.url.rsplit("/", 1)[-1])
    assert job.settings == JobSettings(samples=5, top_p=0.9, early_stop=False, priority="high")
