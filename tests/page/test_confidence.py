"""How far answers can be trusted, on a job's page: forecast, plots, and the order of the list."""

from __future__ import annotations

import os
from pathlib import Path

import httpx2
import pytest
from playwright.sync_api import Page, expect

from calibrated_jobs import answered_job, ended_job
from orchestrator.jobs.calibrations import Calibrations
from orchestrator.jobs.finishing import finish
from orchestrator.jobs.records import JobFile, JobSettings
from orchestrator.jobs.store import JobStore
from orchestrator.settings import Settings
from page_names import OpenPage, check_accessible
from page_words import words

LANGUAGES = ("en", "zh")
CHOSEN = JobSettings(abstain_below=0.75, answer_sets=0.9)


def judged(settings: Settings, *, keyed: bool, calibrated: bool = True) -> JobFile:
    store = JobStore(settings.data_dir)
    chosen = CHOSEN if calibrated else JobSettings()
    job = answered_job(store, settings, keyed=keyed, seed=8, chosen=chosen)
    if calibrated:
        made = Calibrations(settings.data_dir).make(store, ended_job(store, settings))
        store.pin_calibration(job.id, made)
    finish(store, job)
    return job


def picture(page: Page, name: str) -> None:
    """Kept where a person asked for it."""
    if folder := os.environ.get("PAGE_PICTURES"):
        page.locator(".confidence").screenshot(path=Path(folder) / f"{name}.png")


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_job_with_keys_shows_how_right_confidence_was(
    settings: Settings, api: httpx2.Client, open_page: OpenPage, language: str
) -> None:
    w = words(language)
    job = judged(settings, keyed=True)
    report = api.get(f"/jobs/{job.id}/report").json()["confidence"]
    page = open_page(f"{api.base_url}/#/jobs/{job.id}", language)
    plots = page.locator(".confidence svg.plot")
    expect(plots).to_have_count(2)
    expect(plots.nth(0).locator("circle")).to_have_count(len(report["reliability"]))
    expect(plots.nth(1).locator("polygon.band")).to_have_count(1)
    expect(plots.nth(1).locator("circle")).to_have_count(len(report["coverage"]))
    tile = page.locator(".tile", has_text=w["confidence.error"])
    expect(tile).to_contain_text(f"{100 * report['calibration_error']:.1f}".removesuffix(".0"))
    abstained = page.locator(".confidence .tile", has_text=w["flag.abstained"])
    expect(abstained.locator("strong")).to_have_text(str(report["abstained"]))
    picture(page, f"keyed-{language}")
    check_accessible(page)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_job_without_keys_shows_its_forecast(
    settings: Settings, api: httpx2.Client, open_page: OpenPage, language: str
) -> None:
    w = words(language)
    job = judged(settings, keyed=False)
    report = api.get(f"/jobs/{job.id}/report").json()["confidence"]
    page = open_page(f"{api.base_url}/#/jobs/{job.id}", language)
    tile = page.locator(".tile", has_text=w["confidence.forecast"])
    expect(tile).to_contain_text(f"{100 * report['forecast']['value']:.1f}".removesuffix(".0"))
    expect(page.locator(".confidence details")).to_contain_text(w["confidence.label.why"])
    expect(page.locator(".confidence svg.plot")).to_have_count(1)
    expect(page.get_by_role("columnheader", name=w["column.confidence"])).to_be_visible()
    page.get_by_label(w["questions.order"]).select_option("confidence")
    expect(page.locator(".question").first).to_contain_text(w["flag.abstained"])
    page.locator(".question a").first.click()
    expect(page.locator("dialog")).to_contain_text(w["column.confidence"])
    expect(page.locator("dialog")).to_contain_text(w["confidence.set"])
    page.keyboard.press("Escape")
    picture(page, f"unkeyed-{language}")


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_job_without_a_calibration_says_how_to_get_one(
    settings: Settings, api: httpx2.Client, open_page: OpenPage, language: str
) -> None:
    w = words(language)
    job = judged(settings, keyed=True, calibrated=False)
    page = open_page(f"{api.base_url}/#/jobs/{job.id}", language)
    expect(page.locator(".confidence")).to_contain_text("quorum calibrate JOB")
    expect(page.locator(".confidence svg.plot")).to_have_count(0)
    expect(page.get_by_role("columnheader", name=w["column.agreement"])).to_be_visible()
    expect(page.locator("option[value=confidence]")).to_have_count(0)
