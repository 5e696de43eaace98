"""What make does for the environments of local mode, without making them."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest


def make(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """What make prints in a shell, also if another make runs these tests."""
    shell = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    argv = ["make", "-n", *words]
    return subprocess.run(argv, cwd=root, env=shell, capture_output=True, text=True)


def would_run(root: Path, *words: str) -> str:
    done = make(root, "-B", *words)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("stack", ["cu12", "volta", "cu13"])
def test_a_gpu_stack_gets_two_environments_from_its_pins(root: Path, stack: str) -> None:
    commands = would_run(root, f"environments-{stack}", "PYTHON=python3.12")
    for part, service in (("trainer", "trainer"), ("server", "inference")):
        folder = f".venv-{stack}-{part}"
        assert f"uv venv -q --clear --python python3.12 {folder} " in commands
        installs = [line for line in commands.splitlines() if f'="{root / folder}" ' in line]
        assert [line.partition("services/install ")[2] for line in installs] == [
            f"requirements/{stack}-{part}.txt",
            f"-e ./contract -e ./services/{service}",
        ]
        assert f"touch {folder}/ready" in commands


def test_the_cpu_stack_gets_the_environment_of_the_tests(root: Path) -> None:
    commands = would_run(root, "environments-cpu")
    assert "requirements/cpu.txt" in commands
    assert "touch .venv-model/ready" in commands
    assert ".venv-cpu" not in commands


def test_up_local_passes_its_words_to_quorum(root: Path) -> None:
    """Also under -n, make runs the line that asks for the stack, because it names $(MAKE)."""
    made = [word for folder in (".venv", ".venv-model") for word in ("-o", f"{folder}/ready")]
    words = [*made, "up-local", "DETACH=1"]
    done = make(root, *words, "STACK=cpu")
    assert "stack cpu: STACK asks for it" in done.stderr
    assert done.stdout.endswith(".venv/bin/quorum local up -d\n")


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        ("STACK=cuda", "STACK=cuda is none of cpu, cu12, volta, cu13"),
        ("RECIPE=no.toml", "set RECIPE to a path, or to one of"),
        ("TRAIN=no.jsonl", "there is no file no.jsonl: look at TRAIN"),
        ("BASE=./no", "there is no folder ./no: look at BASE"),
    ],
)
def test_a_wrong_word_is_refused_before_any_download(root: Path, word: str, reason: str) -> None:
    refused = make(root, "-o", ".venv/ready", "up-local", word)
    assert refused.returncode != 0
    assert reason in refused.stderr
    assert "uv pip" not in refused.stdout
    assert "quorum local up" not in refused.stdout


def test_the_real_demo_takes_its_base_for_the_chosen_stack(root: Path) -> None:
    made = [word for name in (".venv", ".venv-model") for word in ("-o", f"{name}/ready")]
    done = make(root, *made, "demo-real", "STACK=cpu")
    assert done.returncode == 0, done.stderr
    asked = "RECIPE=smollm2-135m.toml .venv/bin/quorum local demo --file examples/real/"
    assert done.stdout.splitlines()[-1] == f"{asked}problems.jsonl"


def test_the_projects_folder_may_have_blanks_in_its_name(root: Path, tmp_path: Path) -> None:
    folder = tmp_path / "my 项目"
    (folder / "requirements").mkdir(parents=True)
    (folder / "Makefile").write_bytes((root / "Makefile").read_bytes())
    for name in ("contract", "services"):
        (folder / name).symlink_to(root / name)
    for part in ("trainer", "server"):
        (folder / "requirements" / f"cu12-{part}.txt").touch()
    lines = would_run(folder, "environments-cu12").splitlines()
    installs = [line for line in lines if "services/install" in line]
    assert len(installs) == 4
    for line in installs:
        told = subprocess.run(
            ["bash", "-c", line.partition("services/install")[0] + "printenv VIRTUAL_ENV PATH"],
            cwd=folder,
            capture_output=True,
            text=True,
        )
        environment, path = told.stdout.splitlines()
        assert environment.startswith(f"{folder}/.venv-cu12-")
        assert path.startswith(f"{folder}/.tools/bin:")


def test_clean_removes_every_environment(root: Path) -> None:
    (removal,) = would_run(root, "clean").splitlines()
    removed = set(removal.split())
    assert {".tools", ".venv", ".venv-model", ".venv-cu12-trainer", ".venv-cu13-server"} <= removed
