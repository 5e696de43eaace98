"""No finished work is lost: kills, stops, damaged and unwritable checkpoints."""

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from trainer.errors import TrainerError
from trainer.training import checkpoints
from trainer.training.metrics import read_metrics

# with dropout, early stopping and several epochs: random state, best weights and the order of rows
# must all survive
TRAINING = "checkpoint_every_s = 0\nschedule = 'cosine'\nwarmup_steps = 3\npatience = 50"


def start(recipe: Path, folder: Path, **environment: str) -> subprocess.Popen[str]:
    paths = {"MODELS_DIR": str(folder / "models"), "RUNS_DIR": str(folder / "runs")}
    return subprocess.Popen(
        [sys.executable, "-m", "trainer", "run", "--recipe", str(recipe)],
        env={**os.environ, **paths, "OMP_NUM_THREADS": "1", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def finish(recipe: Path, folder: Path) -> Path:
    child = start(recipe, folder)
    output, _ = child.communicate(timeout=300)
    assert child.returncode == 0, output
    return (folder / "models" / "tiny" / "current").resolve()


def checkpointed_step(folder: Path) -> int:
    steps = [int(p.name[5:]) for p in folder.glob("runs/tiny/*/checkpoints/step-*")]
    return max(steps, default=0)


def wait_for_step(child: subprocess.Popen[str], folder: Path, step: int) -> None:
    deadline = time.monotonic() + 120
    while checkpointed_step(folder) < step:
        assert child.poll() is None, child.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def recipe(recipe_file: Callable[..., Path]) -> Path:
    path = recipe_file(top="[lora]\ndropout = 0.1", training=TRAINING)
    path.write_text(path.read_text().replace("max_steps = 6", "max_steps = 60\nepochs = 9"))
    return path


@pytest.mark.long
def test_a_run_killed_repeatedly_ends_with_the_same_weights(recipe: Path, tmp_path: Path) -> None:
    alone = finish(recipe, tmp_path / "alone")
    killed = tmp_path / "killed"
    for step in (5, 22, 41):
        child = start(recipe, killed)
        wait_for_step(child, killed, step)
        child.kill()
        child.wait()
        assert not (killed / "models" / "tiny" / "current").exists()
    resumed = finish(recipe, killed)
    assert resumed.name == alone.name
    one, other = (load_file(path / "model.safetensors") for path in (alone, resumed))
    assert all(torch.equal(one[name], other[name]) for name in one)
    metrics = read_metrics(resumed / "metrics.jsonl")
    assert [entry["step"] for entry in metrics] == list(range(61))
    assert [e["loss"] for e in metrics[1:]] == [
        e["loss"] for e in read_metrics(alone / "metrics.jsonl")[1:]
    ]
    assert not list(killed.glob("runs/tiny/*/checkpoints"))


@pytest.mark.long
def test_a_stopped_run_saves_a_checkpoint_and_says_how_to_resume(
    recipe: Path, tmp_path: Path
) -> None:
    recipe.write_text(recipe.read_text().replace("checkpoint_every_s = 0", ""))
    child = start(recipe, tmp_path)
    deadline = time.monotonic() + 120
    while not any(len(read_metrics(p)) > 5 for p in tmp_path.glob("runs/tiny/*/metrics.jsonl")):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    child.send_signal(signal.SIGTERM)
    output, _ = child.communicate(timeout=60)
    assert child.returncode == 143, output
    assert "a checkpoint is in" in output
    step = checkpointed_step(tmp_path)
    assert step >= 5
    (metrics,) = tmp_path.glob("runs/tiny/*/metrics.jsonl")
    assert read_metrics(metrics)[-1]["step"] == step


def state(value: float) -> dict[str, torch.Tensor]:
    return {"weights": torch.full((64, 64), value)}


def test_a_truncated_checkpoint_is_skipped_for_the_one_before(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    checkpoints.save_step(tmp_path, 1, state(1.0))
    checkpoints.save_step(tmp_path, 2, state(2.0))
    damaged = tmp_path / "step-00000002" / "state.pt"
    damaged.write_bytes(damaged.read_bytes()[:-100])
    found = checkpoints.load_last(tmp_path)
    assert found is not None
    assert (found.step, float(found.state["weights"][0, 0])) == (1, 1.0)
    assert "state.pt changed after it was saved" in caplog.text


def test_a_checkpoint_without_its_files_or_manifest_is_skipped(tmp_path: Path) -> None:
    checkpoints.save_step(tmp_path, 1, state(1.0))
    checkpoints.save_step(tmp_path, 2, state(2.0))
    (tmp_path / "step-00000002" / "state.pt").unlink()
    (tmp_path / "step-00000001" / "manifest.json").write_text("{")
    assert checkpoints.load_last(tmp_path) is None


def test_only_the_last_checkpoints_are_kept(tmp_path: Path) -> None:
    for step in range(1, 6):
        checkpoints.save_step(tmp_path, step, state(step))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["step-00000004", "step-00000005"]


def test_a_full_disk_is_explained_and_the_last_checkpoint_stays(tmp_path: Path) -> None:
    """A limit on file sizes stands for the full disk: writing fails at the same place."""
    checkpoints.save_step(tmp_path, 1, state(1.0))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.raises(TrainerError, match=r"GiB are free there.*kept: step-00000001"):
            checkpoints.save_step(tmp_path, 2, state(2.0))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    found = checkpoints.load_last(tmp_path)
    assert found is not None
    assert found.step == 1
    assert not list(tmp_path.glob(".new-*"))


@pytest.mark.long
def test_a_run_without_room_for_a_checkpoint_says_why_it_ends(recipe: Path, tmp_path: Path) -> None:
    """As above, for a whole run: its process cannot write a file above 100 kB."""
    program = (
        "import resource, sys; from trainer.__main__ import main;"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000,) * 2);"
        f"sys.argv = ['trainer', 'run', '--recipe', {str(recipe)!r}]; main()"
    )
    paths = {"MODELS_DIR": str(tmp_path / "models"), "RUNS_DIR": str(tmp_path / "runs")}
    child = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, **paths},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert child.returncode == 1
    assert "cannot save a checkpoint" in child.stdout
    assert "make room" in child.stdout


def test_running_out_of_memory_says_what_would_fit(recipe: Path, tmp_path: Path) -> None:
    """The process's address space is limited, so that PyTorch's own allocator fails."""
    text = recipe.read_text().replace("pack_tokens = 512", "pack_tokens = 100000")
    recipe.write_text(text.replace("batch_rows = 4", "batch_rows = 4000"))
    program = (
        "import resource, sys; import torch, transformers, peft, matplotlib.figure;"
        "from trainer import pipeline; from trainer.training import loop;"
        "from trainer.publishing import merging; from trainer.__main__ import main;"
        "used = int(open('/proc/self/statm').read().split()[0]) * 4096;"
        "resource.setrlimit(resource.RLIMIT_AS, (used + 1_200_000_000,) * 2);"
        f"sys.argv = ['trainer', 'run', '--recipe', {str(recipe)!r}]; main()"
    )
    paths = {"MODELS_DIR": str(tmp_path / "models"), "RUNS_DIR": str(tmp_path / "runs")}
    child = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, **paths},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert child.returncode == 1, child.stdout + child.stderr
    assert "out of memory: cpu has" in child.stdout
    assert "training.gradient_checkpointing = true; training.pack_tokens = " in child.stdout


def test_the_manifest_names_every_file(tmp_path: Path) -> None:
    checkpoints.save(tmp_path, "best", state(1.0))
    manifest = json.loads((tmp_path / "best" / "manifest.json").read_text())
    files = {path.name for path in (tmp_path / "best").iterdir()}
    assert files == {*manifest, "manifest.json"}
