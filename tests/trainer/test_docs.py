"""docs/training.md leads from a competition file to published weights. Its commands run as written,
with the demo's base for the 7-billion one and a stub server for the teacher.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from contract import Contract
from stub_server import StubServer


@pytest.fixture
def teacher() -> Iterator[StubServer]:
    server = StubServer(lambda prompt, seed: f"第{seed}种推理。\n答案是：{'AB'[seed % 2]}")
    server.start()
    yield server
    server.stop()


@pytest.mark.long
def test_the_commands_of_the_training_page_run_as_written(
    root: Path, tmp_path: Path, teacher: StubServer
) -> None:
    for name in ("services", "examples"):
        (tmp_path / name).symlink_to(root / name)
    (tmp_path / "data").mkdir()
    rows = (root / "examples" / "demo" / "train.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "data" / "train.jsonl").write_text("".join(rows[:12]))
    page = (root / "docs" / "training.md").read_text()
    settings, *commands = re.findall(r"```sh\n(.*?)```", page, re.DOTALL)
    assert re.findall(r"(\w+)=", settings) == ["BASE", "TEACHER_URL", "TEACHER"]
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "BASE": str(root / "examples" / "demo" / "base"),
        "TEACHER_URL": teacher.url,
        "TEACHER": "stub",
    }
    said = []
    for command in commands:
        done = subprocess.run(
            ["bash", "-ec", command],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=600,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        said.append(done.stdout)
    prepared, distilled, trained, panel, listed = said
    assert "keys as trained" in prepared
    assert json.loads((tmp_path / "prepared" / "data.json").read_text())["copies"] > 0
    assert "analyses reached the key" in distilled
    assert (tmp_path / "data" / "distilled.yield.tsv").is_file()
    assert "published" in trained
    assert "member 2 of 2 (v2) is complete after" in panel
    contract = Contract.load(tmp_path / "models" / "quorum-qwen2-7b" / "current")
    assert contract.digest in listed
    assert "0 models removed" in listed
