"""The compose stack on a CPU, really built and run. Needs a Docker engine.

QUORUM_REAL_FILE may name the problem file whose first 20 problems are answered instead of the
demo's.
"""

import json
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from contract import LABELS, parse_problems

pytestmark = pytest.mark.compose

API_PORT = "18080"
PROJECT = "quorum-test"
GPU = ("-f", "docker-compose.yml")
CPU = ("-f", "docker-compose.yml", "-f", "compose.cpu.yml")


def compose(
    root: Path, *arguments: str, env_file: str = ".env.example"
) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "API_PORT": API_PORT, "INFERENCE_PORT": "18000"}
    argv = ["docker", "compose", "-p", PROJECT, "--env-file", env_file, *arguments]
    return subprocess.run(argv, cwd=root, env=environment, capture_output=True, text=True)


@pytest.fixture(scope="module")
def stack(root: Path) -> Iterator[str]:
    """The address of the API of a running stack."""
    up = compose(root, *CPU, "up", "--build", "-d", "--wait", "--wait-timeout", "900")
    logs = compose(root, *CPU, "logs", "--tail", "40").stdout if up.returncode else ""
    try:
        assert up.returncode == 0, up.stdout + up.stderr + logs
        yield f"http://127.0.0.1:{API_PORT}"
    finally:
        compose(root, *CPU, "down", "-v")


@pytest.mark.parametrize("files", [GPU, CPU])
def test_both_stacks_are_accepted_with_the_example_settings(
    root: Path, files: tuple[str, ...]
) -> None:
    done = compose(root, *files, "config", "-q")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("missing", ["STACK", "RECIPE", "MODEL_NAME"])
def test_a_missing_setting_says_what_to_set(root: Path, tmp_path: Path, missing: str) -> None:
    lines = (root / ".env.example").read_text().splitlines()
    env = tmp_path / "env"
    env.write_text("\n".join(line for line in lines if not line.startswith(f"{missing}=")))
    done = compose(root, *GPU, "config", "-q", env_file=str(env))
    assert done.returncode != 0
    assert f"set {missing} in .env" in done.stderr


def test_the_gpu_stack_reserves_gpus_and_publishes_on_the_loopback_alone(root: Path) -> None:
    config = json.loads(compose(root, *GPU, "config", "--format", "json").stdout)["services"]
    for name in ("trainer", "inference"):
        devices = config[name]["deploy"]["resources"]["reservations"]["devices"]
        assert devices[0]["driver"] == "nvidia"
    assert config["inference"]["depends_on"]["trainer"]["condition"] == (
        "service_completed_successfully"
    )
    assert "ports" not in config["redis"]
    ports = [port for service in config.values() for port in service.get("ports", [])]
    assert {port["host_ip"] for port in ports} == {"127.0.0.1"}
    cpu = json.loads(compose(root, *CPU, "config", "--format", "json").stdout)["services"]
    assert all("devices" not in json.dumps(service) for service in cpu.values())


def test_twenty_problems_come_back_complete(root: Path, stack: str) -> None:
    source = Path(os.environ.get("QUORUM_REAL_FILE", root / "examples/demo/problems.jsonl"))
    data = b"\n".join(source.read_bytes().splitlines()[:20])
    posted = parse_problems(data)
    with httpx2.Client(base_url=stack, timeout=60) as client:
        job = client.post("/jobs", files={"file": (source.name, data)}).json()
        deadline = time.monotonic() + 600
        while (job := client.get(f"/jobs/{job['id']}").json())["status"] != "completed":
            assert job["status"] in ("in_progress", "finalizing"), job
            assert time.monotonic() < deadline, job
            time.sleep(1)
        rows = client.get(f"/jobs/{job['id']}/submission").text.splitlines()
    answered = [json.loads(row) for row in rows]
    assert [row["id"] for row in answered] == [problem.row["id"] for problem in posted]
    for row, problem in zip(answered, posted, strict=True):
        for question, asked in zip(row["questions"], problem.questions, strict=True):
            assert question["answer"] in LABELS[: len(asked.options)]


def test_no_service_runs_as_root(root: Path, stack: str) -> None:
    for service in ("api", "worker", "inference"):
        done = compose(root, *CPU, "exec", "-T", service, "id", "-u")
        assert done.stdout.strip() == "10001", (service, done)


def test_a_trainer_started_again_has_nothing_to_do(root: Path, stack: str) -> None:
    done = compose(root, *CPU, "run", "--rm", "-T", "trainer")
    assert done.returncode == 0
    assert "nothing to do" in done.stdout
