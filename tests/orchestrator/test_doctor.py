"""Hosts as facts, and what the doctor says of each; and this very machine."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from orchestrator.doctor import Card, Facts, findings, gather, parse_cards, read_env

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
    env=ENV,
    password_file=True,
    training_files=("train.jsonl",),
)


def test_a_host_that_has_everything_passes() -> None:
    assert {finding.state for finding in findings(GOOD)} == {"ok"}


@pytest.mark.parametrize(
    ("changes", "what", "state", "says"),
    [
        ({"docker": None}, "Docker", "fail", "make up-local"),
        ({"compose": None}, "Compose", "fail", "docker-compose-plugin"),
        ({"compose": "v2.20.3"}, "Compose", "fail", "update"),
        ({"env": None}, ".env", "fail", "make env"),
        ({"env": {**ENV, "RECIPE": ""}}, ".env", "fail", "take the lines"),
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
        ({"training_files": ()}, "training data", "look", "docs/training.md"),
        ({"taken_ports": (8080,)}, "ports", "look", "set the variable in .env"),
    ],
)
def test_what_is_missing_is_named_with_what_to_do(
    changes: dict[str, object], what: str, state: str, says: str
) -> None:
    found = {finding.what: finding for finding in findings(replace(GOOD, **changes))}  # type: ignore[arg-type]
    assert found[what].state == state
    assert says in found[what].do
    others = [finding for finding in found.values() if finding.what != what]
    unrelated = {"Docker", "Compose", "disk", "ports"}
    assert all(finding.state == "ok" for finding in others if finding.what in unrelated)


@pytest.mark.parametrize("changes", [{"STACK": "cpu"}, {"COMPOSE_PROFILES": "remote"}])
def test_no_gpu_is_asked_for_where_none_is_used(changes: dict[str, str]) -> None:
    facts = replace(GOOD, driver=None, cards=(), runtimes=(), env={**ENV, **changes})
    assert {finding.state for finding in findings(facts)} == {"ok"}


def test_nvidia_smis_lines_are_read() -> None:
    rows = "530.30.02, NVIDIA A10, 23028, 8.6\n530.30.02, NVIDIA A10, 23028, 8.6\n"
    driver, cards = parse_cards(rows)
    assert driver == "530.30.02"
    assert [card.capability for card in cards] == [(8, 6), (8, 6)]
    assert cards[0].memory_gib == pytest.approx(22.49, abs=0.01)


def test_an_env_file_is_read_without_its_comments(tmp_path: Path) -> None:
    path = tmp_path / ".env"
    path.write_text("# STACK=cpu\nSTACK=cu12\n\n#API_KEY=\nURL=http://a?b=c\n")
    assert read_env(path) == {"STACK": "cu12", "URL": "http://a?b=c"}
    assert read_env(tmp_path / "none") is None


def test_the_command_works_where_there_is_nothing(tmp_path: Path) -> None:
    """In an empty folder, with no program to ask."""
    argv = [sys.executable, "-m", "orchestrator.cli", "doctor", "--root", str(tmp_path), "--json"]
    done = subprocess.run(argv, capture_output=True, text=True, env={"PATH": "/nowhere"})
    assert done.returncode == 1, done.stderr
    found = {finding["what"]: finding for finding in json.loads(done.stdout)}
    assert found["Docker"]["found"] == "none answers"
    assert found["driver and GPU"]["found"] == "no NVIDIA driver answers"
    assert found[".env"]["do"] == "make env"


def test_this_machine_is_looked_at(root: Path) -> None:
    assert gather(root).free_bytes > 0
