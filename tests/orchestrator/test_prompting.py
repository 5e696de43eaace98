"""The prompt format of jobs whose model has no contract."""

import json
import os
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest
from pydantic import ValidationError

from contract import PromptFormat
from contract.formats import CHINESE, ENGLISH
from contracts import make_contract
from orchestrator.jobs.prompting import choose_format, format_fault
from orchestrator.model import find_model
from orchestrator.settings import Settings
from orchestrator.worker.starting import in_format_of
from problem_files import problem_file
from stub_server import StubServer
from workers import Bench

OWN = """
system_prompt = "Own words."
user_template = "{problem} {question} {options}"
answer_line = "Verdict: {label}"
"""


def english_file() -> bytes:
    row = {
        "problem": "Tom is taller than Ann.",
        "questions": [{"question": "Who is the tallest?", "options": ["Ann", "Tom"]}],
    }
    return json.dumps(row).encode()


def prompts(server: StubServer) -> set[str]:
    return {request["messages"][0]["content"] for request in server.requests}


def test_a_chinese_file_is_asked_in_chinese(bench: Bench, server: StubServer) -> None:
    job = bench.post(problem_file(2))
    bench.start_worker()
    bench.wait(job)
    start = bench.store.started(job.id)
    assert start is not None
    assert start.prompt_format is not None
    assert (start.prompt_format.name, start.prompt_format.format) == ("zh", CHINESE)
    assert prompts(server) == {CHINESE.system_prompt}
    report = json.loads(bench.read(job, "report.json"))
    said = report["provenance"]["start"]["prompt_format"]["note"]
    assert "asked in the format zh: " in said
    assert said.endswith("PROMPT_FORMAT names another")


def test_an_english_file_is_asked_in_english(
    bench: Bench, server: StubServer, api: httpx2.Client
) -> None:
    server.reply = lambda prompt, seed: "Tom is.\n\n**Answer:** (B) Tom"
    job = bench.post(english_file())
    bench.start_worker()
    bench.wait(job)
    start = bench.store.started(job.id)
    assert start is not None
    assert start.prompt_format is not None
    assert (start.prompt_format.name, start.prompt_format.chinese_share) == ("en", 0)
    assert prompts(server) == {ENGLISH.system_prompt}
    assert {answer.answer for answer in bench.answers(job).values()} == {"B"}
    detail = api.get(f"/jobs/{job.id}/questions/0").json()
    assert all(place is not None for place in detail["places"])


def test_a_job_keeps_its_format_although_the_setting_changes(
    settings: Settings, server: StubServer, tmp_path: Path
) -> None:
    """Two workers in turn: the second one's setting names a file that is gone."""
    own = tmp_path / "own.toml"
    own.write_text(OWN)
    first = Bench(settings.model_copy(update={"prompt_format": str(own), "concurrency": 1}))
    server.reply = lambda prompt, seed: "Verdict: A"
    server.latency_s = 0.1
    job = first.post(problem_file(20))
    try:
        first.start_worker()
        first.wait_for_answers(job, 2)
    finally:
        first.stop_workers()
    own.unlink()
    second = Bench(settings.model_copy(update={"prompt_format": "en"}))
    server.latency_s = 0
    try:
        second.start_worker()
        second.wait(job, scan=True)
    finally:
        second.stop_workers()
    start = second.store.started(job.id)
    assert start is not None
    assert start.prompt_format is not None
    assert (start.prompt_format.name, start.prompt_format.file) == ("own", str(own))
    assert prompts(server) == {"Own words."}
    assert {answer.answer for answer in second.answers(job).values()} == {"A"}


def test_a_job_of_an_earlier_version_keeps_its_format(bench: Bench) -> None:
    """Its start.json names no format: it was asked in the only one that there was."""
    job = bench.post(problem_file(1))
    start: dict[str, object] = {
        "started_at": "2026-11-25T00:00:00",
        "model": "stub",
        "digest": None,
        "versions": {},
    }
    start |= {"temperature": 0.7, "top_p": 1.0, "max_tokens": 1024}
    (bench.store.directory(job.id) / "start.json").write_text(json.dumps(start))
    assert bench.store.prompt_format(job.id) == PromptFormat()
    served = in_format_of(bench.store.started(job.id), find_model(bench.settings))
    assert served.format == PromptFormat()


def test_a_job_with_a_contract_keeps_the_contracts_format(bench: Bench) -> None:
    job = bench.post(problem_file(1))
    bench.store.pin(job.id, make_contract().dump())
    assert bench.store.prompt_format(job.id) == make_contract().format


@pytest.mark.parametrize(("setting", "fmt"), [("zh", CHINESE), ("en", ENGLISH)])
def test_a_named_format_needs_no_look_at_the_file(setting: str, fmt: PromptFormat) -> None:
    chosen = choose_format(setting, iter(()))
    assert (chosen.name, chosen.format) == (setting, fmt)
    assert chosen.note == f"asked in the format {setting}, as PROMPT_FORMAT says"


def test_a_published_model_keeps_its_own_format() -> None:
    with pytest.raises(ValidationError, match="PROMPT_FORMAT is for MODEL_CONTRACT=default"):
        Settings(model_contract="published", prompt_format="en")
    assert Settings(model_contract="published", prompt_format=" ").prompt_format == "auto"


@pytest.mark.parametrize("name", ["auto", "zh", "en"])
def test_a_named_format_has_no_fault(name: str) -> None:
    assert format_fault(name) is None


@pytest.mark.parametrize("part", ["api", "worker"])
def test_a_file_that_cannot_be_used_is_refused_at_the_start(tmp_path: Path, part: str) -> None:
    own = tmp_path / "own.toml"
    own.write_text(OWN + "colour = 3\n")
    ended = subprocess.run(
        [sys.executable, "-m", f"orchestrator.{part}"],
        env={
            **os.environ,
            "MODEL_CONTRACT": "default",
            "PROMPT_FORMAT": str(own),
            "DATA_DIR": str(tmp_path),
        },
        stderr=subprocess.PIPE,
        text=True,
        timeout=180,
        check=False,
    )
    assert ended.returncode == 2
    assert f"wrong setting: PROMPT_FORMAT: {own}: colour: Extra inputs" in ended.stderr
