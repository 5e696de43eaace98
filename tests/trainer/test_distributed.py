"""Two processes (gloo, on this CPU) train as one does."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from trainer.training.metrics import read_metrics

pytestmark = pytest.mark.long


def start(recipe: Path, folder: Path, processes: int, **environment: str) -> subprocess.Popen[str]:
    paths = {"MODELS_DIR": str(folder / "models"), "RUNS_DIR": str(folder / "runs")}
    argv = ["-m", "trainer", "run", "--recipe", str(recipe)]
    if processes > 1:
        launch = ["-m", "torch.distributed.run", "--standalone", "--local-addr", "127.0.0.1"]
        argv = [*launch, f"--nproc-per-node={processes}", *argv]
    return subprocess.Popen(
        [sys.executable, *argv],
        env={**os.environ, **paths, "OMP_NUM_THREADS": "1", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def train(recipe: Path, folder: Path, processes: int, **environment: str) -> Path:
    """The model that a run on this many processes published."""
    child = start(recipe, folder, processes, **environment)
    output, _ = child.communicate(timeout=900)
    assert child.returncode == 0, output
    return (folder / "models" / "tiny" / "current").resolve()


def curve(published: Path, key: str = "loss") -> list[float]:
    return [e[key] for e in read_metrics(published / "metrics.jsonl") if key in e]


@pytest.mark.parametrize(
    ("top", "training"),
    [
        ("", "dtype = 'float32'"),
        ("[lora]\npro = true", "dtype = 'float32'"),
        ("method = 'full'", "dtype = 'float32'\nfsdp = true"),
    ],
    ids=["ddp", "ddp, LoRA-Pro", "fsdp, full"],
)
def test_two_processes_have_the_loss_curve_of_one(
    recipe_file: Callable[..., Path], tmp_path: Path, top: str, training: str
) -> None:
    recipe = recipe_file(top=top, training=training)
    one, two = train(recipe, tmp_path / "one", 1), train(recipe, tmp_path / "two", 2)
    assert one.name == two.name
    assert len(curve(one)) == 6
    assert curve(two) == pytest.approx(curve(one), rel=1e-4)
    assert curve(two, "validation_loss") == pytest.approx(curve(one, "validation_loss"), rel=1e-4)
    weights: list[dict[str, Any]] = [load_file(path / "model.safetensors") for path in (one, two)]
    for name, tensor in weights[0].items():
        torch.testing.assert_close(tensor, weights[1][name], rtol=0, atol=2e-3)


def test_sharded_weights_continue_from_a_checkpoint(
    recipe_file: Callable[..., Path], tmp_path: Path
) -> None:
    training = "dtype = 'float32'\nfsdp = true\ncheckpoint_every_s = 0\nepochs = 3"
    recipe = recipe_file(top="method = 'full'", training=training)
    recipe.write_text(recipe.read_text().replace("max_steps = 6", "max_steps = 40"))
    whole = train(recipe, tmp_path / "whole", 2)
    child = start(recipe, tmp_path / "killed", 2)
    deadline = time.monotonic() + 120
    while not list((tmp_path / "killed").glob("runs/tiny/*/checkpoints/step-00000003")):
        assert child.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.killpg(child.pid, signal.SIGKILL)
    assert "continuing from" not in child.communicate()[0]
    resumed = train(recipe, tmp_path / "killed", 2)
    assert len(curve(resumed)) == 40
    assert curve(resumed) == pytest.approx(curve(whole), rel=1e-5)


def test_sharded_training_ends_with_the_best_weights(
    recipe_file: Callable[..., Path], tmp_path: Path
) -> None:
    """The loss soon gets worse; the kept weights are those of a run that ends at its best step."""
    training = "dtype = 'float32'\nfsdp = true\nepochs = 20\nschedule = 'constant'\n"
    recipe = recipe_file(top="method = 'full'", training=training + "patience = 2")
    text = recipe.read_text().replace("validations = 2", "validations = 15")
    text = text.replace("max_steps = 6", "max_steps = 30").replace("1e-3", "0.05")
    recipe.write_text(text)
    kept = train(recipe, tmp_path / "kept", 2)
    entries = [e for e in read_metrics(kept / "metrics.jsonl") if "validation_loss" in e]
    losses = {entry["step"]: entry["validation_loss"] for entry in entries if entry["step"]}
    best = min(losses, key=losses.__getitem__)
    assert best < max(losses) < 30
    recipe.write_text(text.replace("= 30", f"= {best}").replace("patience = 2", ""))
    ended_there = train(recipe, tmp_path / "ended", 2)
    weights: list[dict[str, Any]] = [
        load_file(path / "model.safetensors") for path in (kept, ended_there)
    ]
    for name, tensor in weights[0].items():
        torch.testing.assert_close(tensor, weights[1][name], rtol=0, atol=1e-6)


def test_two_processes_train_a_panel(recipe_file: Callable[..., Path], tmp_path: Path) -> None:
    recipe = recipe_file(training="dtype = 'float32'")
    one = train(recipe, tmp_path / "one", 1, PANEL="2")
    two = train(recipe, tmp_path / "two", 2, PANEL="2")
    assert one.name == two.name
    for member in (".", "members/v2"):
        assert curve(two / member) == pytest.approx(curve(one / member), rel=1e-4)
    assert (two / "panel.json").read_bytes() == (one / "panel.json").read_bytes()
