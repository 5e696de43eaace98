"""Tiny models of several families, from training to a server's reply: the real trainer, the real
vLLM, and the launcher's own checks between them.
"""

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from safetensors import safe_open

from contract import Contract
from inference.weights import read_weights
from tiny_shapes import SHAPES, make_shape
from trainer.panel import run_panel
from trainer.pipeline import run
from trainer.recipe import Recipe
from trainer.settings import Settings

PROMPT = "先分析，最后一行写“答案是：X”。"
RECIPE = """
name = "shape"
base = "base"
train = ["train.jsonl"]
[format]
system_prompt = "{system}"
user_template = "{ask}{{problem}}\\n\\n{{question}}\\n{{options}}"
[sampling]
max_tokens = 64
[lora]
r = 32
alpha = 64
[training]
learning_rate = 1e-2
batch_rows = 8
epochs = 100
warmup_steps = 5
max_length = 512
pack_tokens = 2048
dtype = "float32"
gradient_checkpointing = false
"""
START_S = 600.0


@pytest.fixture(scope="module")
def published(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Trains a shape on a few rows, until it knows them by heart; returns its published folder."""
    made: dict[str, Path] = {}

    def publish(name: str) -> Path:
        if name not in made:
            folder = tmp_path_factory.mktemp(name)
            _write_recipe(root, name, folder)
            settings = Settings(models_dir=folder / "models", runs_dir=folder / "runs")
            made[name] = run(Recipe.load(folder / "recipe.toml"), settings)
        return made[name]

    return publish


def _write_recipe(root: Path, name: str, folder: Path, more: str = "") -> None:
    """A recipe in `folder`, with its rows and a base of the shape `name`."""
    rows = (root / "examples/demo/train.jsonl").read_text().splitlines(keepends=True)
    (folder / "train.jsonl").write_text("".join(rows[:4]))
    shape = SHAPES[name]
    make_shape(shape, "".join(rows[:200]), folder / "base")
    system, ask = (PROMPT, "") if shape.has_system else ("", PROMPT + "\\n")
    (folder / "recipe.toml").write_text(RECIPE.format(system=system, ask=ask) + more)


@pytest.mark.parametrize("name", SHAPES)
def test_a_shape_is_trained_and_published(published: Any, name: str) -> None:
    folder = published(name)
    replies = json.loads((folder / "verification.json").read_text())["replies"]
    assert [reply["label"] for reply in replies] == [reply["key"] for reply in replies]
    assert all(reply["ended"] for reply in replies)


@pytest.mark.parametrize("name", SHAPES)
def test_a_shapes_sizes_are_read(published: Any, name: str) -> None:
    folder = published(name)
    found = read_weights(folder)
    with safe_open(folder / "model.safetensors", "pt") as file:
        tables = [key for key in file.keys() if "embed_tokens" in key or "lm_head" in key]  # noqa: SIM118
        sizes = [file.get_tensor(key).nbytes for key in tables]
    assert found.embedding_bytes == sum(sizes)
    assert (found.layers, found.heads, found.kv_heads, found.head_width) == (2, 4, 2, 32)
    assert found.position_limit == 1024


@pytest.mark.long
@pytest.mark.parametrize("name", SHAPES)
def test_vllm_serves_a_shape_as_it_was_trained(published: Any, tmp_path: Path, name: str) -> None:
    folder = published(name)
    with _served(folder, tmp_path / "log") as port:
        replies, recorded = _replies(port, folder)
    assert replies == recorded


@pytest.mark.long
def test_vllm_serves_each_voter_of_a_panel_as_it_was_trained(root: Path, tmp_path: Path) -> None:
    """The second voter has another format and another rank: its replies are labels alone."""
    own = '[[panel.member]]\n[[panel.member]]\nshare = 1\nrank = 16\nformat = {style = "answer"}\n'
    _write_recipe(root, "llama", tmp_path, own)
    settings = Settings(models_dir=tmp_path / "models", runs_dir=tmp_path / "runs")
    folder = run_panel(Recipe.load(tmp_path / "recipe.toml"), settings, 2)
    log = tmp_path / "log"
    with _served(folder, log) as port:
        first, first_recorded = _replies(port, folder)
        second, second_recorded = _replies(port, folder / "members/v2")
    assert first == first_recorded
    assert second == second_recorded
    assert max(map(len, second)) < min(map(len, first))
    assert "6 recorded replies were compared" in log.read_text()


@contextmanager
def _served(folder: Path, log: Path) -> Iterator[int]:
    """The launcher with the real vLLM, once it has passed the launcher's checks; its port."""
    port = _free_port()
    environment = {
        **os.environ,
        "STACK": "cpu",
        "MODELS_DIR": str(folder.parents[1]),
        "MODEL_NAME": "shape",
        "INFERENCE_PORT": str(port),
    }
    with log.open("wb") as to:
        argv = [sys.executable, "-m", "inference"]
        launcher = subprocess.Popen(argv, env=environment, stdout=to, stderr=to)
    try:
        deadline = time.monotonic() + START_S
        while "is served as it was trained" not in log.read_text():
            assert launcher.poll() is None, log.read_text()
            assert "is not served" not in log.read_text(), log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.5)
        yield port
    finally:
        launcher.terminate()
        launcher.wait(60)


def _replies(port: int, folder: Path) -> tuple[list[str], list[str]]:
    """The replies of the model in `folder` to its recorded questions, and the recorded ones."""
    contract = Contract.load(folder)
    recorded = json.loads((folder / "verification.json").read_text())["replies"]
    replies = [_ask(port, contract.served_name, entry["messages"]) for entry in recorded]
    return replies, [entry["text"] for entry in recorded]


def _ask(port: int, model: str, messages: list[dict[str, str]]) -> str:
    body = {"model": model, "messages": messages, "temperature": 0, "seed": 0, "max_tokens": 64}
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/v1/chat/completions",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=120) as reply:
        text: str = json.load(reply)["choices"][0]["message"]["content"]
    return text


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
