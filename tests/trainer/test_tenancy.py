"""A trainer that fails writes the reason on the models volume, for those who wait."""

import os
import subprocess
import sys
from pathlib import Path

from contract.tenancy import what_trains


def test_a_failed_run_leaves_its_reason_on_the_volume(root: Path, tmp_path: Path) -> None:
    recipe = root / "services/trainer/recipes/demo.toml"
    argv = [sys.executable, "-m", "trainer", "run", "--recipe", str(recipe)]
    done = subprocess.run(
        [*argv, "--train", str(tmp_path / "none.jsonl")],
        env={**os.environ, "MODELS_DIR": str(tmp_path / "models"), "RUNS_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1, done.stdout + done.stderr
    said = what_trains(tmp_path / "models")
    assert said.startswith("the trainer ended without a model: ")
    assert "none.jsonl" in said
