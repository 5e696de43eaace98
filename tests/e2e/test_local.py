"""Local mode with nothing stubbed: real training, real vLLM, real Redis, real workers.

The tests share one stack with those of the page. QUORUM_REAL_FILE may name another problem file;
then all of it is answered too.
"""

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import httpx2
import pytest
from prometheus_client.parser import text_string_to_metric_families

from contract import LABELS, parse_problems
from dashboard import dashboard_metrics
from local_mode import (
    URL,
    local_up,
    nothing_left_behind,
    quorum,
    running,
    wait_until_ready,
)
from orchestrator.jobs.asked import all_asked
from orchestrator.jobs.intervals import compare

pytestmark = pytest.mark.e2e


@pytest.mark.long
@pytest.mark.usefixtures("no_local_stack")
def test_the_demo_raises_accuracy_by_forty_points(root: Path) -> None:
    with nothing_left_behind() as environment:
        done = quorum(root, "local", "demo", environment=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    for words in ("base model, letter forced", "one sample", "vote of 3", "drawn", "submission:"):
        assert words in done.stdout
    assert "#/jobs/job_" in done.stdout

    jobs = sorted((root / "var" / "data" / "jobs").glob("job_*"))
    answers = [json.loads(line) for line in (jobs[-1] / "answers.jsonl").read_text().splitlines()]
    base = [json.loads(line) for line in (root / "var" / "baseline.jsonl").read_text().splitlines()]
    problems = parse_problems((root / "examples" / "demo" / "problems.jsonl").read_bytes())
    asked = list(all_asked(problems))
    assert [(a["id"], a["index"]) for a in answers] == [a.key for a in asked]
    assert [(b["id"], b["index"]) for b in base] == [a.key for a in asked]
    assert len(asked) >= 200
    keys = [a.question.answer for a in asked]
    forced = [b["answer"] == key for b, key in zip(base, keys, strict=True)]
    voted = [a["answer"] == key for a, key in zip(answers, keys, strict=True)]
    chance = sum(1 / len(a.question.options) for a in asked) / len(asked)
    assert abs(sum(forced) / len(forced) - chance) < 0.12
    assert compare(forced, voted).difference.value >= 0.40


def every_metric_of_the_dashboard_is_there(root: Path) -> None:
    """Check Prometheus's scrapes of the API and of vLLM, after a job was answered."""
    (server,) = running("vllm.entrypoints")
    words = Path(f"/proc/{server}/cmdline").read_text().split("\0")
    port = words[words.index("--port") + 1]
    scraped = {
        sample.name
        for url in (URL, f"http://127.0.0.1:{port}")
        for family in text_string_to_metric_families(httpx2.get(f"{url}/metrics").text)
        for sample in family.samples
    }
    named = dashboard_metrics(root)
    assert {name.split(":")[0].split("_")[0] for name in named} == {"quorum", "vllm"}
    assert named - scraped == set()


@pytest.mark.usefixtures("local_stack")
def test_a_faulty_file_is_refused_with_each_line(root: Path, tmp_path: Path) -> None:
    faulty = tmp_path / "faulty.jsonl"
    faulty.write_bytes(b'{"id": "a", "problem": "p", "questions": [{"question": "q"}]}\n{oops\n')
    refused = quorum(root, "submit", str(faulty))
    assert refused.returncode == 3
    assert "line 1, questions[0].options: is missing" in refused.stderr.replace("\n", " ")
    assert "line 2: not JSON" in refused.stderr.replace("\n", " ")


def comes_back_whole(root: Path, file: Path, out: Path) -> None:
    done = quorum(root, "submit", str(file), "--wait", "--out", str(out), timeout_s=1500)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    given = parse_problems(file.read_bytes())
    assert [row["id"] for row in rows] == [problem.row["id"] for problem in given]
    for row, problem in zip(rows, given, strict=True):
        for answered, question in zip(row["questions"], problem.questions, strict=True):
            assert answered["answer"] in LABELS[: len(question.options)]


@pytest.mark.usefixtures("local_stack")
def test_a_file_posted_to_the_running_stack_comes_back_whole(root: Path, tmp_path: Path) -> None:
    comes_back_whole(
        root, root / "examples" / "demo" / "validation.jsonl", tmp_path / "submission.jsonl"
    )
    every_metric_of_the_dashboard_is_there(root)


@pytest.mark.usefixtures("local_stack")
def test_vllm_gives_the_tokens_of_every_answer(root: Path, tmp_path: Path) -> None:
    """The demo's replies are Chinese, and an end token follows them."""
    file = tmp_path / "few.jsonl"
    rows = (root / "examples" / "demo" / "validation.jsonl").read_text().splitlines(keepends=True)
    file.write_text("".join(rows[:4]))
    done = quorum(root, "submit", str(file), "--vote", "confidence", "--wait", timeout_s=600)
    assert done.returncode == 0, done.stdout + done.stderr
    newest = httpx2.get(f"{URL}/jobs", params={"limit": 1}).json()["data"][0]["id"]
    lines = httpx2.get(f"{URL}/jobs/{newest}/answers").text.splitlines()
    answers = [json.loads(line) for line in lines]
    samples = [s for a in answers if "forced" not in a["flags"] for s in a["samples"] if s["label"]]
    assert samples
    assert {sample["span"] for sample in samples} == {"answer"}
    assert all(-20 < sample["answer_logprob"] <= 0 for sample in samples)
    assert len({(sample["answer_logprob"], sample["logprob"]) for sample in samples}) > 1


@pytest.mark.long
@pytest.mark.usefixtures("local_stack")
def test_a_real_file_comes_back_whole(root: Path, tmp_path: Path) -> None:
    demo = root / "examples" / "demo" / "problems.jsonl"
    file = Path(os.environ.get("QUORUM_REAL_FILE", demo))
    comes_back_whole(root, file, tmp_path / "submission.jsonl")


@pytest.mark.long
def test_a_killed_server_and_a_killed_api_are_started_again(
    local_stack: subprocess.Popen[str],
) -> None:
    process = local_stack
    (server,) = running("vllm.entrypoints")
    os.kill(server, signal.SIGKILL)
    while running("vllm.entrypoints") in ([], [server]):  # the launcher restarts it
        assert process.poll() is None
        time.sleep(0.5)
    wait_until_ready(process)

    (api,) = running("orchestrator.api")
    os.kill(api, signal.SIGKILL)
    deadline = time.monotonic() + 60
    while running("orchestrator.api") in ([], [api]):
        assert time.monotonic() < deadline
        time.sleep(0.5)
    wait_until_ready(process)


@pytest.mark.usefixtures("local_stack")
def test_a_model_can_be_its_own_teacher(root: Path, tmp_path: Path) -> None:
    """A job's own model is the teacher for the questions that the job got wrong."""
    rows = (root / "examples" / "demo" / "problems.jsonl").read_text().splitlines(keepends=True)
    labelled = tmp_path / "labelled.jsonl"
    labelled.write_text("".join(rows[:40]))
    done = quorum(
        root,
        "submit",
        str(labelled),
        "--wait",
        "--out",
        str(tmp_path / "labelled.submission.jsonl"),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    newest = httpx2.get(f"{URL}/jobs", params={"limit": 1}).json()["data"][0]
    job = httpx2.get(f"{URL}/jobs/{newest['id']}").json()
    (server,) = running("vllm.entrypoints")
    arguments = Path(f"/proc/{server}/cmdline").read_bytes().decode().split("\0")
    url = f"http://127.0.0.1:{arguments[arguments.index('--port') + 1]}/v1"
    taught = tmp_path / "taught.jsonl"
    trainer = [str(root / ".venv-model" / "bin" / "python"), "-m", "trainer", "distill"]
    recipe = root / "services" / "trainer" / "recipes" / "demo.toml"
    asked = ["--recipe", str(recipe), "--file", str(labelled), "--out", str(taught), "--hint"]
    teacher = ["--url", url, "--model", "quorum-demo", "--max-tokens", "96"]
    only = ["--only-missed", f"{URL}/jobs/{job['id']}", "--samples", "8", "--keep", "2"]
    distilled = subprocess.run(
        [*trainer, *asked, *teacher, *only], capture_output=True, text=True, timeout=300
    )
    assert distilled.returncode == 0, distilled.stdout + distilled.stderr
    missed = job["accuracy"]["answered"] - job["accuracy"]["correct"]
    assert f"{missed} questions were answered wrong" in distilled.stdout
    assert f"of {8 * missed} analyses reached the key" in distilled.stdout
    kept = parse_problems(taught.read_bytes())
    assert kept
    assert all(problem.questions[0].analysis for problem in kept)


@pytest.mark.long
@pytest.mark.usefixtures("no_local_stack")
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGHUP, 130), (signal.SIGKILL, -9)]
)
def test_ctrl_c_hangup_and_kill_9_end_every_process(root: Path, number: int, code: int) -> None:
    with local_up(root) as process:
        deadline = time.monotonic() + 60
        while not running("-m\0trainer"):
            assert process.poll() is None, process.stdout and process.stdout.read()
            assert time.monotonic() < deadline
            time.sleep(0.1)
        process.send_signal(number)
        assert process.wait(60) == code


@pytest.mark.usefixtures("local_stack")
def test_a_second_start_names_the_first_one(root: Path) -> None:
    done = quorum(root, "local", "demo", timeout_s=60)
    assert done.returncode == 1
    assert "already running (pid" in done.stdout
    assert f"page {URL})" in done.stdout


def test_a_faulty_file_is_refused_before_anything_starts(root: Path, tmp_path: Path) -> None:
    file = tmp_path / "mine.jsonl"
    file.write_bytes(b'{"problem": "", "questions": []}\n')
    done = quorum(root, "local", "demo", "--file", str(file), timeout_s=60)
    assert done.returncode == 1
    assert "line 1, questions: must be a list with at least one" in done.stdout.replace("\n", " ")
