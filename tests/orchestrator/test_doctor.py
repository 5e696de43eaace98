"""Findings of the doctor for hosts given as facts, and for this machine."""

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.cli.doctor import findings, needed_gb
from orchestrator.cli.host_facts import Card, Facts, gather, parse_cards, read_env

ENV = {
    "STACK": "cu12",
    "RECIPE": "qwen2-7b-24gb.toml",
    "MODEL_NAME": "m",
    "COMPOSE_PROFILES": "train,serve",
    "REDIS_PASSWORD_FILE": "secrets/redis_password",
}
A10 = Card("NVIDIA A10", 22.5, (8, 6))
GOOD = Facts(
    docker="28.2.2",
    compose="2.36.0",
    runtimes=("nvidia", "runc"),
    driver="530.30.02",
    cards=(A10,),
    free_bytes=200 * 10**9,
    memory_bytes=64 * 10**9,
    env=ENV,
    password_file=True,
    training_files=("train.jsonl",),
)


def test_a_host_that_has_everything_passes() -> None:
    assert {finding.state for finding in findings(GOOD)} == {"ok"}


@pytest.mark.parametrize(
    ("changes", "what", "state", "says"),
    [
        ({"docker": None}, "Docker", "fail", "local mode"),
        ({"compose": None}, "Compose", "fail", "docker-compose-plugin"),
        ({"compose": "v2.20.3"}, "Compose", "fail", "update"),
        ({"env": None}, ".env", "fail", "make env"),
        ({"env": {**ENV, "RECIPE": ""}}, ".env", "fail", "copy these lines"),
        ({"env": {**ENV, "STACK": "cuda12"}}, ".env", "fail", "one of cpu, cu12, volta, cu13"),
        ({"password_file": False}, "password of Redis", "fail", "make env"),
        ({"driver": None, "cards": ()}, "driver and GPU", "fail", "install the driver"),
        ({"driver": "470.256.02"}, "driver and GPU", "fail", "install a newer driver"),
        (
            {"cards": (Card("Tesla V100", 32, (7, 0)),)},
            "driver and GPU",
            "fail",
            "set STACK=volta",
        ),
        ({"runtimes": ("runc",)}, "container toolkit", "fail", "nvidia-ctk runtime configure"),
        ({"cards": (Card("a card", 15.9, (8, 0)),)}, "GPU memory", "look", "QUANTIZATION=int4"),
        ({"cards": (Card("a card", 8, (8, 6)),)}, "GPU memory", "fail", "smaller base"),
        ({"free_bytes": 20 * 10**9}, "disk", "fail", "data-root"),
        ({"free_bytes": 80 * 10**9}, "disk", "fail", "docker builder prune"),
        ({"memory_bytes": 16 * 10**9}, "memory", "look", "smaller base"),
        ({"env": None, "env_fault": "Permission denied: .env"}, ".env", "fail", "chown"),
        ({"shadowed": ("STACK",)}, ".env", "look", "unset STACK"),
        ({"env": {**ENV, "STACK": "cpu"}}, ".env", "fail", "make env STACK=cpu"),
        ({"env": {**ENV, "API_PORT": "http"}}, "ports", "fail", "write a number"),
        ({"env": {**ENV, "API_PUBLISHED_ON": "0.0.0.0"}}, "API", "fail", "set API_KEY"),
        (
            {"env": {**ENV, "HTTP_PROXY": "http://127.0.0.1:7890"}},
            "HTTP_PROXY",
            "fail",
            "host.docker.internal",
        ),
        (
            {"env": {**ENV, "https_proxy": "socks5://proxy:1080"}},
            "https_proxy",
            "fail",
            "set an HTTP proxy",
        ),
        (
            {
                "env": {
                    **ENV,
                    "COMPOSE_PROFILES": "remote",
                    "INFERENCE_URL": "http://localhost:8000/v1",
                }
            },
            "INFERENCE_URL",
            "fail",
            "host.docker.internal",
        ),
        ({"training_files": ()}, "training data", "look", "docs/training.md"),
        ({"taken_ports": ("8080",)}, "ports", "look", "set another port in .env"),
    ],
)
def test_each_missing_part_is_named_with_the_remedy(
    changes: dict[str, object], what: str, state: str, says: str
) -> None:
    found = {finding.what: finding for finding in findings(replace(GOOD, **changes))}  # type: ignore[arg-type]
    assert found[what].state == state
    assert says in found[what].do
    others = [finding for finding in found.values() if finding.what != what]
    unrelated = {"Docker", "Compose", "disk", "ports"}
    assert all(finding.state == "ok" for finding in others if finding.what in unrelated)


def test_local_mode_is_proposed_only_where_docker_is_missing() -> None:
    def told(**changes: object) -> list[tuple[str, str]]:
        found = findings(replace(GOOD, **changes))  # type: ignore[arg-type]
        return [(one.found, one.do) for one in found if one.what == "local mode"]

    assert told() == []
    ((found, do),) = told(docker=None)
    assert "stack cu12" in found
    assert "make up-local" in do
    ((found, do),) = told(docker=None, cards=(Card("Tesla P100", 16, (6, 0)),))
    assert "no stack serves this card" in found
    assert do == "make demo runs on the CPU"


CPU_FILES = "docker-compose.yml:compose.cpu.yml"


@pytest.mark.parametrize(
    "changes",
    [
        {"STACK": "cpu", "COMPOSE_FILE": CPU_FILES},
        {"COMPOSE_FILE": CPU_FILES},
        {"COMPOSE_PROFILES": "remote"},
    ],
)
def test_no_gpu_is_required_if_none_is_used(changes: dict[str, str]) -> None:
    """Memory, disk and training data for a GPU's model are not required either."""
    facts = replace(GOOD, driver=None, cards=(), runtimes=(), env={**ENV, **changes})
    small = replace(facts, memory_bytes=8 * 10**9, free_bytes=25 * 10**9, training_files=())
    found = findings(small)
    assert {finding.state for finding in found} == {"ok"}
    assert not [finding for finding in found if "GPU" in finding.what]


def test_the_disk_needed_is_the_sum_of_measured_sizes() -> None:
    """A build needs environments twice and packages once (GiB). Each set of weights has 15.2 GB."""
    assert needed_gb("train", ["train", "serve"]) == pytest.approx(83, abs=1)
    assert needed_gb("train", ["train"]) == pytest.approx(61, abs=1)
    assert needed_gb("serve", ["serve"]) == pytest.approx(52, abs=1)
    built = ("quorum-trainer", "quorum-inference", "quorum-redis")
    assert needed_gb("train", ["train", "serve"], built) == pytest.approx(33, abs=1)


def test_nvidia_smis_lines_are_read() -> None:
    rows = "530.30.02, NVIDIA A10, 23028, 8.6\n530.30.02, NVIDIA A10, 23028, 8.6\n"
    driver, cards = parse_cards(rows)
    assert driver == "530.30.02"
    assert [card.capability for card in cards] == [(8, 6), (8, 6)]
    assert cards[0].memory_gib == pytest.approx(22.49, abs=0.01)


def test_an_env_file_is_read_as_compose_reads_it(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text(
        "# STACK=cpu\nSTACK=cu12\n\n#API_KEY=\nURL=http://a?b=c\n"
        "API_PORT=9090  # not 8080\nMODEL_NAME='a # b'\nRECIPE=\"my recipe.toml\"\n"
        "export TRAIN_DATA = ./data\r\nHASH=a#b\nEMPTY=\nDIR=${TRAIN_DATA}/more\n"
    )
    assert read_env(path) == {
        "STACK": "cu12",
        "URL": "http://a?b=c",
        "API_PORT": "9090",
        "MODEL_NAME": "a # b",
        "RECIPE": "my recipe.toml",
        "TRAIN_DATA": "./data",
        "HASH": "a#b",
        "EMPTY": "",
        "DIR": "./data/more",
    }
    assert read_env(tmp_path / "none") is None


def test_an_unreadable_env_file_differs_from_a_missing_one() -> None:
    """The file has mode 0600 and another owner. If the tests run as root, they act as nobody."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        Path(folder).chmod(0o755)
        (Path(folder) / ".env").write_text("STACK=cu12\n")
        (Path(folder) / ".env").chmod(0o600 if os.getuid() == 0 else 0)
        user = os.geteuid()
        os.seteuid(65534 if user == 0 else user)
        try:
            facts = gather(Path(folder))
        finally:
            os.seteuid(user)
    (found,) = (finding for finding in findings(facts) if finding.what == ".env")
    assert "Permission denied" in found.found
    assert "chown" in found.do


def test_a_shell_variable_that_overrides_the_env_file_is_named(tmp_path: Path) -> None:
    lines = [f"{name}={value}" for name, value in ENV.items()]
    (tmp_path / ".env").write_text("\n".join(lines))
    found = doctor(tmp_path, STACK="volta", RECIPE=ENV["RECIPE"])
    assert found[".env"]["found"] == "the shell sets STACK to other values"
    found = doctor(tmp_path, http_proxy="http://127.0.0.1:7890")  # compose passes this on
    assert "is the container itself" in found["http_proxy"]["found"]


def doctor(root: Path, **variables: str) -> dict[str, dict[str, str]]:
    """The command's findings in a folder, without any program on PATH."""
    argv = [sys.executable, "-m", "orchestrator.cli", "doctor", "--root", str(root), "--json"]
    environment = {"PATH": "/nowhere", **variables}
    done = subprocess.run(argv, capture_output=True, text=True, env=environment)
    assert done.returncode == 1, done.stderr
    return {finding["what"]: finding for finding in json.loads(done.stdout)}


def test_the_doctor_works_in_an_empty_folder(tmp_path: Path) -> None:
    found = doctor(tmp_path)
    assert found["Docker"]["found"] == "no engine answers"
    assert found["driver and GPU"]["found"] == "no NVIDIA driver answers"
    assert found[".env"]["do"] == "make env"
    assert "0 GB" not in found["memory"]["found"]


def test_the_doctor_examines_this_machine(root: Path) -> None:
    assert gather(root).free_bytes > 0
