"""`quorum answer`: one command from a file and an endpoint to a submission."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.local.slots import Slot
from problem_files import problem_file
from stub_server import MODEL, StubServer

WELL, FAILED, INTERRUPTED = 0, 1, 130
QUESTIONS = 12


@pytest.fixture
def endpoint() -> Iterator[StubServer]:
    stub = StubServer(lambda prompt, seed: "The answer is A.")
    stub.start()
    yield stub
    stub.stop()


class Answer:
    """Runs the command in a folder that holds mine.csv and mine.jsonl."""

    def __init__(self, folder: Path, endpoint: StubServer) -> None:
        self.folder = folder
        rows = [f"what is {n}?,{n},{n + 1},A" for n in range(QUESTIONS)]
        (folder / "mine.csv").write_text("\n".join(["question,A,B,answer", *rows]))
        (folder / "mine.jsonl").write_bytes(problem_file(QUESTIONS))
        named = {"INFERENCE_URL": endpoint.url, "MODEL_NAME": MODEL, "INFERENCE_API_KEY": "sk-x"}
        self.environment = {**os.environ, **named, "COLUMNS": "200"}

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "orchestrator.cli", "answer", *arguments],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __call__(self, *arguments: str, code: int = WELL) -> tuple[str, str]:
        process = self.start(*arguments)
        out, err = process.communicate(timeout=180)
        assert process.returncode == code, (out, err)
        return out, err


@pytest.fixture
def answer(tmp_path: Path, endpoint: StubServer) -> Answer:
    return Answer(tmp_path, endpoint)


def test_a_file_is_answered_once_and_then_only_saved_again(
    answer: Answer, endpoint: StubServer
) -> None:
    out, err = answer("mine.csv", "--submission-format", "csv")
    assert "read as flat rows (CSV)" in err
    assert "12 answered" in out
    lines = (answer.folder / "mine.submission.csv").read_text().splitlines()
    assert len(lines) == 1 + QUESTIONS
    assert all(line.split(",")[2] == "A" for line in lines[1:])
    assert Slot(answer.folder / "var/endpoint", "service").holder() is None
    asked = len(endpoint.requests)
    (answer.folder / "mine.submission.csv").unlink()
    _, err = answer("mine.csv", "--submission-format", "csv")
    assert "was answered before" in err
    assert len(endpoint.requests) == asked
    assert (answer.folder / "mine.submission.csv").read_text().splitlines() == lines


def test_an_interrupted_command_continues_its_job(answer: Answer, endpoint: StubServer) -> None:
    endpoint.latency_s = 3600.0
    process = answer.start("mine.jsonl")
    deadline = time.monotonic() + 120
    while not endpoint.in_flight:
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode == INTERRUPTED
    assert "The next run continues from here" in err
    endpoint.latency_s = 0.0
    answer("mine.jsonl")
    jobs = list((answer.folder / "var/endpoint/data/jobs").glob("job_*"))
    assert len(jobs) == 1
    assert len((answer.folder / "mine.submission.jsonl").read_text().splitlines()) == QUESTIONS


@pytest.mark.parametrize("name", ["INFERENCE_URL", "MODEL_NAME"])
def test_a_missing_name_of_the_endpoint_is_asked_for(answer: Answer, name: str) -> None:
    del answer.environment[name]
    _, err = answer("mine.csv", code=FAILED)
    assert f"{name} is not set; give it, such as {name}=" in err


def test_a_file_with_faults_is_refused_with_their_places(answer: Answer) -> None:
    (answer.folder / "faulty.csv").write_text("question,A,B,answer\nq,1,2,C\n")
    _, err = answer("faulty.csv", code=FAILED)
    assert "line 2" in err or "row" in err
    assert not (answer.folder / "faulty.submission.jsonl").exists()


def test_a_model_that_is_not_served_is_named_in_full(answer: Answer, endpoint: StubServer) -> None:
    answer.environment |= {"MODEL_NAME": "another", "COLUMNS": "80"}
    process = answer.start("mine.csv")
    assert process.stderr is not None
    said = ""
    while "another" not in said:
        line = process.stderr.readline()
        assert line, said
        said += line
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=120)
    assert f"serves {MODEL!r}" in said or f"serves {MODEL}" in said
